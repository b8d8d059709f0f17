/* A disk that fails now and then, for one process: preloaded, it stands between the program (RocksDB in it included) and
 * the system's calls. MILLRACE_FAULTS_DIR says where, MILLRACE_FAULTS_ODDS that one call in so many fails there. Each fault
 * is told on stderr.
 *
 *   write, pwrite: half of the bytes, and the caller is told so; half of them, and an error; nothing, as on a full disk
 *   fsync, fdatasync: an error
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>
#include <unistd.h>

typedef ssize_t (*write_call)(int, const void *, size_t);
typedef ssize_t (*pwrite_call)(int, const void *, size_t, off_t);
typedef int (*sync_call)(int);

static write_call real_write(void) {
    static _Atomic(write_call) call;
    if (!call) call = (write_call)dlsym(RTLD_NEXT, "write");
    return call;
}

static unsigned long dice(void) {
    static _Thread_local unsigned long state;
    while (state == 0) getrandom(&state, sizeof state, 0);
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* Whether a call on this file is to fail. */
static int strikes(int fd, const char *what) {
    const char *where = getenv("MILLRACE_FAULTS_DIR"), *odds = getenv("MILLRACE_FAULTS_ODDS");
    if (!where || !odds || dice() % strtoul(odds, NULL, 10) != 0) return 0;
    char link[64], path[4096], told[4200];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    if (strncmp(path, where, strlen(where)) != 0) return 0;
    int bytes = snprintf(told, sizeof told, "fault: %s %s\n", what, path);
    real_write()(2, told, bytes);
    return 1;
}

ssize_t write(int fd, const void *from, size_t bytes) {
    if (!strikes(fd, "write")) return real_write()(fd, from, bytes);
    unsigned long kind = dice() % 3;
    if (kind == 0 && bytes > 1) return real_write()(fd, from, bytes / 2);
    if (kind == 1) real_write()(fd, from, bytes / 2);
    errno = kind == 2 ? ENOSPC : EIO;
    return -1;
}

ssize_t pwrite(int fd, const void *from, size_t bytes, off_t at) {
    static _Atomic(pwrite_call) call;
    if (!call) call = (pwrite_call)dlsym(RTLD_NEXT, "pwrite");
    if (!strikes(fd, "pwrite")) return call(fd, from, bytes, at);
    unsigned long kind = dice() % 3;
    if (kind == 0 && bytes > 1) return call(fd, from, bytes / 2, at);
    if (kind == 1) call(fd, from, bytes / 2, at);
    errno = kind == 2 ? ENOSPC : EIO;
    return -1;
}

ssize_t pwrite64(int fd, const void *from, size_t bytes, off_t at) { return pwrite(fd, from, bytes, at); }

int fsync(int fd) {
    static _Atomic(sync_call) call;
    if (!call) call = (sync_call)dlsym(RTLD_NEXT, "fsync");
    if (!strikes(fd, "fsync")) return call(fd);
    errno = EIO;
    return -1;
}

int fdatasync(int fd) {
    static _Atomic(sync_call) call;
    if (!call) call = (sync_call)dlsym(RTLD_NEXT, "fdatasync");
    if (!strikes(fd, "fdatasync")) return call(fd);
    errno = EIO;
    return -1;
}
