//! What can go wrong: one small error for the whole core.
//!
//! There are four kinds. [`Error::Unsupported`]: fall back to the interpreter. [`Error::Full`]: come back
//! with more storage. [`Error::Invalid`]: the program breaks a rule, and the caller is told which and where.
//! [`Error::Internal`]: a fault of this crate's own, worth a report.
//!
//! Nothing here allocates; texts are written through [`core::fmt`].

use core::fmt;

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Valid, but this target or this version cannot do it.
    Unsupported {
        /// What.
        what: Feature,
        /// Where it was asked for.
        place: Place,
    },
    /// Storage of the caller's was too small. Nothing was lost but the time.
    Full {
        /// Which storage.
        storage: Storage,
        /// How much suffices, in the storage's own unit: words of a workspace, bytes of code, records.
        needed: usize,
    },
    /// The program breaks a rule.
    Invalid {
        /// Which rule.
        rule: Rule,
        /// Where.
        place: Place,
    },
    /// A fault of this crate.
    Internal {
        /// Which part met it.
        part: Part,
        /// The line of its source, as `line!()` gives it.
        line: u32,
    },
}

const _: () = assert!(core::mem::size_of::<Error>() <= 24);

/// Where in a program something is. All indices are program-wide, as in the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The program as a whole.
    Program,
    /// A signature, by its index.
    Signature(u32),
    /// A host function, by its index.
    Host(u32),
    /// A tag, by its index.
    Tag(u32),
    /// An exit, by its index.
    Exit(u32),
    /// Code in a table of links, by its index.
    Code(u32),
    /// A dependency in a table of links, by its index.
    Dependency(u32),
    /// A function, by its index.
    Function(u32),
    /// A block.
    Block {
        /// The function's index.
        function: u32,
        /// The block's index.
        block: u32,
    },
    /// An op.
    Op {
        /// The function's index.
        function: u32,
        /// The block's index.
        block: u32,
        /// The op's index.
        op: u32,
    },
}

impl Place {
    /// The function's index, where the place is in a function.
    pub const fn function(self) -> Option<u32> {
        match self {
            Place::Function(function)
            | Place::Block { function, .. }
            | Place::Op { function, .. } => Some(function),
            _ => None,
        }
    }

    /// The block's index, where the place is in a block.
    pub const fn block(self) -> Option<u32> {
        match self {
            Place::Block { block, .. } | Place::Op { block, .. } => Some(block),
            _ => None,
        }
    }

    /// The op's index, where the place is an op.
    pub const fn op(self) -> Option<u32> {
        match self {
            Place::Op { op, .. } => Some(op),
            _ => None,
        }
    }
}

/// Makes an enumeration of things with a text each.
macro_rules! with_texts {
    ($(#[$about:meta])* $name:ident { $($variant:ident $text:literal;)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name {
            $(#[doc = $text] $variant),*
        }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// Its text, one for each.
            pub const fn text(self) -> &'static str {
                match self {
                    $($name::$variant => $text),*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.text())
            }
        }
    };
}

with_texts! {
    /// What a target or this version cannot do.
    Feature {
        Op "an op for which the target has no code";
        Arguments "more arguments or results than the target passes";
        Slots "a guest slot farther away than the target reaches";
        Hosts "a host function farther away than the target reaches";
        FrameSize "a frame larger than the target reaches";
        Layout "a place for a value that the target does not have";
        SideReferences "a collector that runs in a side trace whose parent has references";
        CodeSize "code larger than a jump of the target reaches";
    }
}

with_texts! {
    /// Storage of the caller's.
    Storage {
        Workspace "the workspace, in words";
        Code "the code buffer, in bytes";
        FunctionCode "the table of compiled functions";
        Functions "the functions";
        Blocks "the blocks";
        Ops "the ops";
        Extra "the extra words";
        Exits "the exits";
        Signatures "the signatures";
        Types "the types";
        Regions "the regions";
        Hosts "the host functions";
        Tags "the tags";
        Positions "the source positions";
        Values "the arguments and results";
        Stack "the interpreter's stack, in words";
        Binding "the memory bound to a region, in bytes";
        Safepoints "the table of safepoints";
        Roots "the table of references at safepoints, in words";
        ExitSites "the records of exits";
        ExitValues "the records of exits' values";
        LoopHeads "the records of loops' heads";
        Codes "the records of code that may be linked";
        Links "the records of links";
        Dependencies "the records of dependencies";
        Uses "the records of code's dependencies";
    }
}

with_texts! {
    /// A part of this crate.
    Part {
        Build "the builder";
        Verify "the verifier";
        Interpret "the interpreter";
        Optimize "the optimizer";
        Analyse "the analysis of live ranges";
        Allocate "the register allocator";
        Select "the choice of stencils";
        Patch "the patcher";
    }
}

with_texts! {
    /// A rule that every program keeps. [`crate::verify`] checks them all, but for the last ones:
    /// those that begin with Build are about the use of [`crate::build`], and records cannot break them; those that begin with Side
    /// and Link are about code that is linked ([`crate::link`]).
    Rule {
        ProgramSize "a program has at most 2^28 units of size";
        PositionCount "there is a source position for each op, or for none";
        RegionCount "a program has at most 32 regions";
        RegionSizes "a region's least size is not above its greatest";
        SlotCount "a program has at most 2^24 guest slots";
        TagCount "a program has at most 255 tags";
        TagBits "the bits of a tag are among those of its mask";
        TagShift "the shift of a tag is at most 63";
        SignatureSpan "a signature's types are among the program's";
        SignatureLength "a signature has at most 255 parameters and 255 results";
        HostSignature "a host function's signature is among the program's";
        ExitSnapshot "an exit's snapshot is within the extra words";
        FunctionSignature "a function's signature is among the program's";
        FunctionBlocks "functions own the blocks one behind the other, at least one each";
        FunctionOps "functions own the ops one behind the other";
        BlockOwner "every block belongs to a function";
        OpOwner "every op belongs to a function";
        BlockOps "blocks own the ops of their function one behind the other, at least one each, and all of them";
        BlockParameters "a block has at least one op besides its parameters";
        BlockTerminator "the last op of a block is a terminator";
        EntryParameters "the parameters of an entry block are those of the function's signature";
        ParameterOp "a block begins with as many parameters as it says";
        ParameterPlace "a parameter stands at the head of its block";
        ParameterIndex "a parameter has its index in its block's list";
        ParameterType "a parameter has a type";
        TerminatorPlace "a terminator stands at the end of its block";
        ResultPlace "a further result stands right behind its call, in order";
        CallResults "a call is followed by one op for each further result, of that result's index and type";
        CallType "a call has the type of its first result";
        UnusedField "fields that an op does not use are zero";
        ConstantBits "the upper half of a 32-bit constant is zero";
        ValueRange "an operand is an op of the same function";
        ValueGiven "an operand is an op that gives a value";
        ValueType "an operand has the type that is asked for";
        ValueDominates "a value is defined on every way to its use";
        ExtraRange "what an op names in the extra words is there";
        EdgeTarget "an edge goes to a block of the same function";
        EdgeToEntry "no edge goes to an entry block";
        EdgeArguments "an edge has an argument for each parameter of its block";
        ExitNeeded "an op that may leave has an exit";
        ExitRange "an exit is among the program's";
        SlotRange "a guest slot is among those that the program declares";
        RegionRange "a region is among the program's";
        SnapshotBox "what a snapshot boxes is an i32, an i64 or an f64";
        TagRange "a tag is among the program's";
        InBounds "an access that is marked to be in bounds is not atomic and has no exit";
        OffsetRange "the offset of a region access is at most 2^31 - 65";
        FunctionRange "a function is among the program's";
        HostRange "a host function is among the program's";
        SignatureRange "a signature is among the program's";
        ArgumentCount "a call has an argument for each parameter";
        ReturnCount "a function returns as many values as its signature says";
        ReturnCallResults "a function that ends with another's results has the same result types";
        CallNeedsExit "a call of a function that may deoptimize has an exit";
        BuildFunctions "functions are built one at a time, all of them, in the order of declaration";
        BuildBlocks "blocks are built one at a time, each from its parameters to its terminator, in a function";
        BuildBlockFilled "a block that is created is filled";
        BuildMethod "an op is built with the method for its shape";
        BuildScale "the scale of an access is 0 to 3";
        SideParameters "a side trace has a parameter for each value of its exit's snapshot, of that type";
        SideResults "a side trace has the results of the function that its exit is in";
        SideCalled "nothing calls a side trace, or takes its index";
        LinkTable "the records that describe an exit are there and belong together";
        LinkExit "an exit that is linked deoptimizes, and is no poll's";
        LinkCode "code that is linked was added and is valid";
        LinkOrigin "code is added with what it was compiled for: nothing, an exit of other code, or a bridge's target";
        LinkLayout "an exit is linked to code that was compiled for it, with the places of its values";
        LinkTaken "an exit is linked to one place at a time";
        LinkRange "code that is linked lies in the memory that the table is for, aligned to 8 bytes";
        LinkValues "a bridge passes a value of the same type for each that is expected";
        LinkHead "a bridge to a loop's head starts from an exit in that loop";
        DependencyRange "a dependency was declared and is not forgotten";
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Place::Program => write!(f, "program"),
            Place::Signature(index) => write!(f, "signature {index}"),
            Place::Host(index) => write!(f, "host function {index}"),
            Place::Tag(index) => write!(f, "tag {index}"),
            Place::Exit(index) => write!(f, "exit {index}"),
            Place::Code(index) => write!(f, "code {index}"),
            Place::Dependency(index) => write!(f, "dependency {index}"),
            Place::Function(function) => write!(f, "function {function}"),
            Place::Block { function, block } => write!(f, "function {function}, block {block}"),
            Place::Op {
                function,
                block,
                op,
            } => write!(f, "function {function}, block {block}, op {op}"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::Unsupported { what, place } => write!(f, "{place}: not supported: {what}"),
            Error::Full { storage, needed } => {
                write!(f, "not enough room for {storage}: {needed} would do")
            }
            Error::Invalid { rule, place } => write!(f, "{place}: broken rule: {rule}"),
            Error::Internal { part, line } => {
                write!(f, "fault of patchjit itself in {part}, line {line}")
            }
        }
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn texts_are_clear() {
        let place = Place::Op {
            function: 1,
            block: 2,
            op: 30,
        };
        let invalid = Error::Invalid {
            rule: Rule::EdgeToEntry,
            place,
        };
        assert_eq!(
            invalid.to_string(),
            "function 1, block 2, op 30: broken rule: no edge goes to an entry block"
        );
        let full = Error::Full {
            storage: Storage::Workspace,
            needed: 12,
        };
        assert_eq!(
            full.to_string(),
            "not enough room for the workspace, in words: 12 would do"
        );
        let unsupported = Error::Unsupported {
            what: Feature::Op,
            place: Place::Program,
        };
        assert_eq!(
            unsupported.to_string(),
            "program: not supported: an op for which the target has no code"
        );
        let internal = Error::Internal {
            part: Part::Patch,
            line: 7,
        };
        assert_eq!(
            internal.to_string(),
            "fault of patchjit itself in the patcher, line 7"
        );
        assert_eq!(
            (place.function(), place.block(), place.op()),
            (Some(1), Some(2), Some(30))
        );
        assert_eq!(Place::Exit(3).op(), None);
    }

    #[test]
    fn every_rule_has_a_text_of_its_own() {
        for (index, rule) in Rule::ALL.iter().enumerate() {
            assert_eq!(*rule as usize, index);
            assert!(
                Rule::ALL[..index]
                    .iter()
                    .all(|other| other.text() != rule.text())
            );
        }
    }
}
