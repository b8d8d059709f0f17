//! Speaks PostgreSQL and HTTP; nothing else.
