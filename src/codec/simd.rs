//! One way to make the same code run on what the processor has beyond the least of its family.
//!
//! Hot loops are written portably, on slices, so that the compiler can use vectors. [`widest`] runs such a
//! loop compiled for AVX2 and BMI2 where an x86-64 has them; elsewhere as it is: NEON belongs to the least
//! that an aarch64 has. What compilers make no vectors of is written with intrinsics, beside a portable form. The
//! only `unsafe` of the codecs is here.

#![allow(unsafe_code)]

use super::bits::Word;

/// Calls `work`, compiled for the instructions that were found. What it calls has to be inlined into it,
/// or it stays as it is.
#[inline]
pub(crate) fn widest<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if may_be_wide() && is_wide() {
        // SAFETY: the features that the function asks for were all detected.
        return unsafe { with_avx2(work) };
    }
    work()
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn is_wide() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
fn with_avx2<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// Makes numbers of their differences, the first of which is from `before`.
pub(crate) fn integrate(numbers: &mut [u32], before: u32) {
    #[cfg(target_arch = "x86_64")]
    if may_be_wide() && is_wide() {
        // SAFETY: the features that the function asks for were all detected.
        return unsafe { avx2::integrate(numbers, before) };
    }
    integrate_portably(numbers, before);
}

/// The same for any numbers.
#[inline(always)]
pub(crate) fn integrate_portably<W: Word>(numbers: &mut [W], before: W) {
    let mut value = before;
    for number in numbers {
        value = value.plus(*number);
        *number = value;
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm_cvtsi128_si32, _mm256_add_epi32, _mm256_castsi256_si128, _mm256_loadu_si256,
        _mm256_permute2x128_si256, _mm256_set1_epi32, _mm256_shuffle_epi32, _mm256_slli_si256,
        _mm256_storeu_si256,
    };

    #[target_feature(enable = "avx2")]
    pub(super) fn integrate(numbers: &mut [u32], before: u32) {
        let (groups, rest) = numbers.as_chunks_mut();
        let mut value = _mm256_set1_epi32(before as i32);
        for group in groups {
            // No group waits for more than one addition of the one before.
            let (sums, all) = sums(load(group));
            store(group, _mm256_add_epi32(sums, value));
            value = _mm256_add_epi32(value, all);
        }
        super::integrate_portably(rest, first(value));
    }

    /// Of each number the sum of it and all before it, and eight times the sum of all.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn sums(numbers: __m256i) -> (__m256i, __m256i) {
        // Shifts and shuffles do not cross the middle.
        let two = _mm256_add_epi32(numbers, _mm256_slli_si256::<4>(numbers));
        let four = _mm256_add_epi32(two, _mm256_slli_si256::<8>(two));
        let halves = _mm256_shuffle_epi32::<0xff>(four);
        let lower = _mm256_permute2x128_si256::<0x08>(halves, halves);
        let swapped = _mm256_permute2x128_si256::<0x01>(halves, halves);
        (
            _mm256_add_epi32(four, lower),
            _mm256_add_epi32(halves, swapped),
        )
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn first(numbers: __m256i) -> u32 {
        _mm_cvtsi128_si32(_mm256_castsi256_si128(numbers)) as u32
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn load(numbers: &[u32; 8]) -> __m256i {
        // SAFETY: reads as many bytes as the array has, at any alignment.
        unsafe { _mm256_loadu_si256(numbers.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn store(numbers: &mut [u32; 8], vector: __m256i) {
        // SAFETY: writes as many bytes as the array has, at any alignment.
        unsafe { _mm256_storeu_si256(numbers.as_mut_ptr().cast(), vector) }
    }
}

/// Whether a test wants the least of the family.
#[inline(always)]
fn may_be_wide() -> bool {
    #[cfg(test)]
    if PORTABLE.get() {
        return false;
    }
    true
}

#[cfg(test)]
thread_local! {
    static PORTABLE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs `work` as on a processor that has the least of its family.
#[cfg(test)]
pub(crate) fn portably<R>(work: impl FnOnce() -> R) -> R {
    PORTABLE.set(true);
    let result = work();
    PORTABLE.set(false);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[cfg(all(miri, target_arch = "x86_64"))]
    #[test]
    fn miri_goes_both_ways() {
        assert!(may_be_wide() && is_wide(), "nobody turned the features on");
        assert!(!portably(may_be_wide));
    }

    fn check(numbers: &[u32], before: u32) {
        let mut value = before;
        let sums = numbers.iter().map(|number| {
            value = value.wrapping_add(*number);
            value
        });
        let sums: Vec<u32> = sums.collect();
        let mut wide = numbers.to_vec();
        integrate(&mut wide, before);
        assert_eq!(wide, sums);
        let mut portable = numbers.to_vec();
        portably(|| integrate(&mut portable, before));
        assert_eq!(portable, sums);
    }

    #[test]
    fn sums_of_any_length() {
        let numbers: Vec<u32> = (1..=25u32).map(|number| number.wrapping_pow(7)).collect();
        for len in 0..=numbers.len() {
            check(&numbers[..len], u32::MAX);
        }
    }

    proptest! {
        #[test]
        fn sums_are_the_same_on_any_processor(numbers in prop::collection::vec(any::<u32>(), 0..60), before in any::<u32>()) {
            check(&numbers, before);
        }
    }
}
