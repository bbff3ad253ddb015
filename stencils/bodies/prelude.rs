// What stencil bodies need of a language runtime: they are compiled without `core`, so that nothing but the
// op itself can end up in their code. Only lang items, intrinsics and the operators that bodies use.
#![feature(explicit_tail_calls, rust_preserve_none_cc, no_core, lang_items, intrinsics, rustc_attrs, auto_traits, freeze_impls, decl_macro)]
#![allow(incomplete_features, improper_ctypes, internal_features, unused, non_snake_case)]
#![no_core]
#![crate_type = "lib"]

#[lang = "pointee_sized"] pub trait PointeeSized {}
#[lang = "meta_sized"] pub trait MetaSized: PointeeSized {}
#[lang = "sized"] pub trait Sized: MetaSized {}
#[lang = "copy"] pub trait Copy {}
#[lang = "destruct"] pub trait Destruct: PointeeSized {}
#[lang = "freeze"] unsafe auto trait Freeze {}
#[lang = "legacy_receiver"] pub trait LegacyReceiver {}
impl<T: PointeeSized> LegacyReceiver for &T {}
impl Copy for u8 {} impl Copy for u16 {} impl Copy for u32 {} impl Copy for u64 {}
impl Copy for i8 {} impl Copy for i16 {} impl Copy for i32 {} impl Copy for i64 {}
impl Copy for f64 {} impl Copy for bool {}
impl<T: PointeeSized> Copy for *const T {} impl<T: PointeeSized> Copy for *mut T {}

#[rustc_intrinsic] pub const fn wrapping_add<T: Copy>(a: T, b: T) -> T;
#[rustc_intrinsic] pub const fn bswap<T: Copy>(a: T) -> T;
#[rustc_builtin_macro] pub macro asm("assembly template", $(operands,)* $(options($(option),*))?) {}

#[lang = "eq"] pub trait PartialEq<R = Self> { fn eq(&self, o: &R) -> bool; fn ne(&self, o: &R) -> bool; }
#[lang = "partial_ord"] pub trait PartialOrd<R = Self> { fn lt(&self, o: &R) -> bool; fn le(&self, o: &R) -> bool; fn gt(&self, o: &R) -> bool; fn ge(&self, o: &R) -> bool; }
impl PartialEq for i64 { fn eq(&self, o: &i64) -> bool { *self == *o } fn ne(&self, o: &i64) -> bool { *self != *o } }
impl PartialEq for u64 { fn eq(&self, o: &u64) -> bool { *self == *o } fn ne(&self, o: &u64) -> bool { *self != *o } }
impl PartialOrd for i64 { fn lt(&self, o: &i64) -> bool { *self < *o } fn le(&self, o: &i64) -> bool { *self <= *o } fn gt(&self, o: &i64) -> bool { *self > *o } fn ge(&self, o: &i64) -> bool { *self >= *o } }
impl PartialOrd for u64 { fn lt(&self, o: &u64) -> bool { *self < *o } fn le(&self, o: &u64) -> bool { *self <= *o } fn gt(&self, o: &u64) -> bool { *self > *o } fn ge(&self, o: &u64) -> bool { *self >= *o } }
