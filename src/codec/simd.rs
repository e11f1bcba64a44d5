//! One way to make the same code run on what the processor has beyond the least of its family.
//!
//! Hot loops are written portably, on slices, so that the compiler can use vectors. [`widest`] runs such a
//! loop compiled for AVX2 and BMI2 where an x86-64 has them; elsewhere as it is: NEON belongs to the least
//! that an aarch64 has. The only `unsafe` of the codecs is here.

#![allow(unsafe_code)]

/// Calls `work`, compiled for the instructions that were found. What it calls has to be inlined into it,
/// or it stays as it is.
#[inline]
pub(crate) fn widest<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(test)]
    if PORTABLE.get() {
        return work();
    }
    #[cfg(target_arch = "x86_64")]
    if is_wide() {
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
