//! Loads, stores and atomics in Cranelift's terms.
//!
//! A region access is one unsigned compare of the index against a constant limit (where the region grows, of the access's
//! end against the size that the context has, too), a branch to the exit's
//! cold block, and the access itself, whose address folds into the machine's addressing modes.

use crate::translate::{Kind, Translation, type_of};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I32, I64};
use cranelift_codegen::ir::{self, AtomicRmwOp, InstBuilder, MemFlagsData, Value};
use patchjit::ir::Op;
use patchjit::ops::{OpInfo, Opcode, Shape, flags};

/// Where an access goes: an address, a constant to add, and the flags.
struct Place {
    address: Value,
    offset: i32,
    flags: MemFlagsData,
}

/// The op at the end of the current block; its value, if it gives one.
pub(crate) fn access(translation: &mut Translation, op: &Op) -> Option<Value> {
    let info = op.code.info();
    let place = if info.has(flags::RAW) {
        Place {
            address: translation.value(op.a),
            offset: op.c.cast_signed(),
            flags: MemFlagsData::trusted(),
        }
    } else {
        in_region(translation, op, info)
    };
    if info.has(flags::ATOMIC) {
        return atomic(translation, op, &place);
    }
    let width = u32::from(info.width);
    if matches!(info.shape, Shape::Load) {
        let result = type_of(info.result?);
        let Place {
            address,
            offset,
            flags,
        } = place;
        let mut cursor = translation.at();
        let builder = cursor.ins();
        return Some(match (width, info.sign_extends) {
            (width, _) if width * 8 == result.bits() => {
                builder.load(result, flags, address, offset)
            }
            (1, true) => builder.sload8(result, flags, address, offset),
            (1, false) => builder.uload8(result, flags, address, offset),
            (2, true) => builder.sload16(result, flags, address, offset),
            (2, false) => builder.uload16(result, flags, address, offset),
            (_, true) => builder.sload32(flags, address, offset),
            (_, false) => builder.uload32(flags, address, offset),
        });
    }
    let value = translation.value(op.b);
    let stored = type_of(info.operands[1]);
    let mut cursor = translation.at();
    let builder = cursor.ins();
    let Place {
        address,
        offset,
        flags,
    } = place;
    match width {
        width if width * 8 == stored.bits() => builder.store(flags, value, address, offset),
        1 => builder.istore8(flags, value, address, offset),
        2 => builder.istore16(flags, value, address, offset),
        _ => builder.istore32(flags, value, address, offset),
    };
    None
}

/// Checks an access to a region, and says where it goes.
fn in_region(translation: &mut Translation, op: &Op, info: &OpInfo) -> Place {
    let offset = translation.program.extra[op.c as usize];
    let exit = translation.program.extra[op.c as usize + 1];
    let region = translation.program.regions[op.region()];
    let scale = op.scale();
    let width = u64::from(info.width);
    let index = translation.value(op.a);
    let last = region.most.checked_sub(width + u64::from(offset));
    match last.map(|last| last >> scale) {
        None => {
            let always = translation.integer(I8, 1);
            translation.exit_if(always, exit);
        }
        Some(limit) => {
            let known = translation.constant(op.a).map(i64::cast_unsigned);
            if known.is_none_or(|index| index > limit) {
                let limit = translation.integer(I64, limit.cast_signed());
                let beyond = IntCC::UnsignedGreaterThan;
                let beyond = translation.at().ins().icmp(beyond, index, limit);
                translation.exit_if(beyond, exit);
            }
        }
    }
    let scaled = if scale == 0 {
        index
    } else {
        let by = translation.integer(I64, i64::from(scale));
        translation.at().ins().ishl(index, by)
    };
    if region.grows() {
        let end = translation.integer(I64, i64::from(offset) + i64::from(info.width));
        let end = translation.at().ins().iadd(scaled, end);
        let size = translation.region_size(op.region());
        let beyond = IntCC::UnsignedGreaterThan;
        let beyond = translation.at().ins().icmp(beyond, end, size);
        translation.exit_if(beyond, exit);
    }
    if info.has(flags::ATOMIC) {
        let within = offset_by(translation, scaled, offset);
        let mask = translation.integer(I64, i64::from(info.width) - 1);
        let misaligned = translation.at().ins().band(within, mask);
        translation.exit_if(misaligned, exit);
    }
    let base = translation.base(op.region());
    let address = translation.at().ins().iadd(base, scaled);
    Place {
        address,
        offset: offset.cast_signed(),
        flags: translation.flags(Kind::Regions),
    }
}

fn offset_by(translation: &mut Translation, value: Value, offset: u32) -> Value {
    if offset == 0 {
        return value;
    }
    let offset = translation.integer(I64, i64::from(offset));
    translation.at().ins().iadd(value, offset)
}

fn atomic(translation: &mut Translation, op: &Op, place: &Place) -> Option<Value> {
    use Opcode::*;
    let address = offset_by(translation, place.address, place.offset.cast_unsigned());
    let ty: ir::Type = if op.code.info().width == 4 { I32 } else { I64 };
    let flags = place.flags;
    let update = match op.code {
        I32AtomicLoad | I64AtomicLoad => {
            return Some(translation.at().ins().atomic_load(ty, flags, address));
        }
        I32AtomicStore | I64AtomicStore => {
            let value = translation.value(op.b);
            translation.at().ins().atomic_store(flags, value, address);
            return None;
        }
        I32AtomicCmpxchg | I64AtomicCmpxchg => {
            let expected = translation.value(op.b);
            let at = translation.program.extra[op.c as usize + 2];
            let replacement = translation.value(at);
            let mut cursor = translation.at();
            return Some(
                cursor
                    .ins()
                    .atomic_cas(flags, address, expected, replacement),
            );
        }
        I32AtomicAdd | I64AtomicAdd => AtomicRmwOp::Add,
        I32AtomicAnd | I64AtomicAnd => AtomicRmwOp::And,
        I32AtomicOr | I64AtomicOr => AtomicRmwOp::Or,
        I32AtomicXor | I64AtomicXor => AtomicRmwOp::Xor,
        _ => AtomicRmwOp::Xchg,
    };
    let value = translation.value(op.b);
    let mut cursor = translation.at();
    Some(cursor.ins().atomic_rmw(ty, flags, update, address, value))
}
