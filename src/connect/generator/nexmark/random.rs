//! The random numbers of Nexmark events, draw for draw those of the crate `nexmark` 0.2 (`SmallRng` of `rand` 0.8 on
//! 64 bits): xoshiro256++, seeded by PCG32. They are part of what the generator promises, so they live here, where no
//! newer version of a library can change them.

pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The numbers that belong to one event.
    pub fn of_event(event: u64) -> Self {
        let mut seed = event;
        let mut word = || u64::from(pcg32(&mut seed)) | u64::from(pcg32(&mut seed)) << 32;
        Random { state: [word(), word(), word(), word()] }
    }

    #[inline]
    fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    #[inline]
    fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// A number below `range` from 64 random bits.
    #[inline]
    pub fn below(&mut self, range: u64) -> u64 {
        let accepted = (range << range.leading_zeros()).wrapping_sub(1);
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(range);
            if wide as u64 <= accepted {
                return (wide >> 64) as u64;
            }
        }
    }

    /// A number below `range` from 32 random bits, which is another draw than [`below`](Self::below).
    #[inline]
    pub fn below_u32(&mut self, range: u32) -> u32 {
        let accepted = (range << range.leading_zeros()).wrapping_sub(1);
        loop {
            let wide = u64::from(self.next_u32()) * u64::from(range);
            if wide as u32 <= accepted {
                return (wide >> 32) as u32;
            }
        }
    }

    /// One of `a` to `z`.
    #[inline]
    pub fn letter(&mut self) -> u8 {
        const LETTERS: u64 = 26;
        const ACCEPTED: u32 = u32::MAX - ((1 << 32) % LETTERS) as u32;
        loop {
            let wide = u64::from(self.next_u32()) * LETTERS;
            if wide as u32 <= ACCEPTED {
                return b'a' + (wide >> 32) as u8;
            }
        }
    }

    /// From 0 up to 1, in steps of 2^-24.
    pub fn unit(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * (1.0 / (1 << 24) as f32)
    }

    /// An element of a slice.
    pub fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below_u32(from.len() as u32) as usize]
    }
}

fn pcg32(state: &mut u64) -> u32 {
    *state = state.wrapping_mul(6364136223846793005).wrapping_add(11634580027462260723);
    let xorshifted = (((*state >> 18) ^ *state) >> 27) as u32;
    xorshifted.rotate_right((*state >> 59) as u32)
}
