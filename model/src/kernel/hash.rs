// SPDX-License-Identifier: GPL-2.0-only
//! The hashes that choose a bucket.
//!
//! Linux 3.9 hashes the destination with Bob Jenkins' `jhash2`; since 5.15 it is SipHash-2-4.
//! Both are read off a little-endian machine, on every machine: listings are portable.
//!
//! # Source
//! `include/linux/jhash.h` and `lib/siphash.c` implement published algorithms: Jenkins'
//! *lookup3* (public domain, 2006) and Aumasson and Bernstein's *SipHash* (2012).

/// `jhash2()` over whole words.
///
/// # Source
/// `nf_ct_expect_dst_hash()` of v3.9 calls it with the four words of the destination.
#[inline]
#[must_use]
pub fn jhash2(words: &[u32], initial: u32) -> u32 {
    let length = u32::try_from(words.len()).expect("a key of a few words");
    let start = 0xdead_beef_u32.wrapping_add(length << 2).wrapping_add(initial);
    let [mut a, mut b, mut c] = [start; 3];
    let mut rest = words;
    while let [x, y, z, tail @ ..] = rest {
        if tail.is_empty() {
            break;
        }
        a = a.wrapping_add(*x);
        b = b.wrapping_add(*y);
        c = c.wrapping_add(*z);
        (a, b, c) = mix(a, b, c);
        rest = tail;
    }
    if rest.is_empty() {
        return c;
    }
    for (sum, word) in [&mut a, &mut b, &mut c].into_iter().zip(rest) {
        *sum = sum.wrapping_add(*word);
    }
    last_mix(a, b, c)
}

/// One reversible round of lookup3: six steps, in which the three words change roles.
#[inline]
fn mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    for turn in [4, 6, 8, 16, 19, 4] {
        a = a.wrapping_sub(c) ^ c.rotate_left(turn);
        c = c.wrapping_add(b);
        (a, b, c) = (b, c, a);
    }
    (a, b, c)
}

/// The irreversible end of lookup3.
#[inline]
fn last_mix(mut a: u32, mut b: u32, mut c: u32) -> u32 {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}

/// SipHash-2-4 of a message whose length is a multiple of eight bytes.
#[doc(alias = "siphash")]
#[must_use]
pub fn siphash24(key: [u64; 2], message: &[u64]) -> u64 {
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let length = u64::try_from(message.len() * 8).expect("a short message");
    let mut absorb = |word: u64| {
        v[3] ^= word;
        sip_rounds(&mut v, 2);
        v[0] ^= word;
    };
    message.iter().for_each(|&word| absorb(word));
    absorb(length << 56);
    v[2] ^= 0xff;
    sip_rounds(&mut v, 4);
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[inline(always)]
fn sip_rounds(v: &mut [u64; 4], rounds: u32) {
    for _ in 0..rounds {
        v[0] = v[0].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[0] = v[0].rotate_left(32);
        v[2] = v[2].wrapping_add(v[3]);
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].wrapping_add(v[3]);
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[2] = v[2].rotate_left(32);
    }
}

/// Scales a hash to `0..buckets` without a division (`reciprocal_scale()`).
#[doc(alias = "reciprocal_scale")]
#[inline]
#[must_use]
pub fn scale(hash: u32, buckets: u32) -> u32 {
    ((u64::from(hash) * u64::from(buckets)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    quickcheck! {
        fn prop_scaling_stays_inside_the_table(hash: u32, buckets: u32) -> bool {
            buckets == 0 || scale(hash, buckets) < buckets
        }

        fn prop_scaling_keeps_order(a: u32, b: u32, buckets: u32) -> bool {
            a > b || scale(a, buckets) <= scale(b, buckets)
        }
    }

    /// The vectors of the SipHash paper, appendix A, for messages of whole words: the key is
    /// 00 01 … 0f, the message 00 01 … .
    #[test]
    fn siphash_agrees_with_its_paper() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        assert_eq!(siphash24(key, &[]), 0x726f_db47_dd0e_0e31);
        assert_eq!(siphash24(key, &[key[0]]), 0x93f5_f579_9a93_2462);
    }

    #[test]
    fn jhash2_of_more_than_three_words_mixes() {
        // Differences in every word reach the result.
        let base = [1, 2, 3, 4, 5, 6, 7];
        let hash = jhash2(&base, 0);
        for place in 0..base.len() {
            let mut other = base;
            other[place] ^= 0x8000_0000;
            assert_ne!(jhash2(&other, 0), hash, "word {place}");
        }
        assert_eq!(jhash2(&[], 7), 0xdead_beef_u32.wrapping_add(7));
    }
}
