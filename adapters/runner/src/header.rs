//! C headers: what a program that is linked with an object file of [`crate::object_file`] includes.
//!
//! Takes a program and what it is to C; promises text that is C11 and C++11, has no warnings, and says the layout of
//! [`patchjit::runtime::Context`] with assertions that the C compiler checks. Headers of several programs can be
//! included together. Costs one pass over declarations and regions' first contents, which it holds.

use crate::interface::{Interface, RegionInterface};
use crate::module::Module;
use patchjit::ir::MAX_REGIONS;
use patchjit::runtime::{Status, offset};
use patchjit::types::Type;
use patchjit_stencils::{X86_64_SYSV, X86_64_SYSV_V3, X86_64_WINDOWS};
use std::fmt::Write as _;

/// What compilation said that the header says, too.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The target's name.
    pub target: &'a str,
    /// Whether the code charges fuel.
    pub fuel: bool,
    /// The most bytes of stack that a call takes.
    pub frame_bytes: u32,
}

/// The header.
pub fn header(module: &Module, interface: &Interface, facts: Facts<'_>) -> String {
    let prefix = &interface.prefix;
    let mut text = String::new();
    let target = facts.target;
    text += &format!(
        "/* Written by patchjit {}: a program compiled for {target}. */\n",
        env!("CARGO_PKG_VERSION")
    );
    text += &format!("#ifndef PATCHJIT_{prefix}H\n#define PATCHJIT_{prefix}H\n\n");
    text += "#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n\n";
    text += "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n";
    text += "#ifndef PATCHJIT_CONTEXT\n#define PATCHJIT_CONTEXT\n\n";
    calls(&mut text, target);
    context(&mut text);
    text += "#endif\n\n";
    assertions(&mut text);
    needs(&mut text, module, interface, facts);
    functions(&mut text, module, interface);
    tables(&mut text, module, interface);
    for (index, region) in interface.regions.iter().enumerate() {
        bind_region(&mut text, module, index, region);
    }
    text += "#ifdef __cplusplus\n}\n#endif\n\n#endif\n";
    text
}

/// The word for how compiled code is called and calls host functions: none, where that is how C does.
fn calls(text: &mut String, target: &str) {
    *text += if [X86_64_SYSV.target, X86_64_SYSV_V3.target].contains(&target) {
        "\
/* Compiled code is called, and calls host functions, as System V has it, under Windows too. */
#if defined(_WIN32) && defined(__x86_64__)
#define PATCHJIT_CALL __attribute__((sysv_abi))
#elif defined(_WIN32)
#error \"this compiler has no word for the System V convention; GCC and Clang have\"
#else
#define PATCHJIT_CALL
#endif

"
    } else if target == X86_64_WINDOWS.target {
        "\
/* Compiled code is called, and calls host functions, as Windows has it, elsewhere too. */
#if defined(_WIN32)
#define PATCHJIT_CALL
#else
#define PATCHJIT_CALL __attribute__((ms_abi))
#endif

"
    } else {
        "\
/* Compiled code is called, and calls host functions, as C does. */
#define PATCHJIT_CALL

"
    };
}

/// What the headers of all programs have in common.
fn context(text: &mut String) {
    *text += "\
#ifdef __cplusplus
#define PATCHJIT_ASSERT(condition) static_assert(condition, #condition)
#else
#define PATCHJIT_ASSERT(condition) _Static_assert(condition, #condition)
#endif

/* How a run ended. */
enum patchjit_status {
";
    for (status, meaning) in [
        (Status::Returned, "the results stand in values"),
        (Status::Deoptimized, "it left through an exit"),
        (Status::Trapped, "it left through a trap"),
        (Status::OutOfFuel, "the fuel was used up"),
        (
            Status::TooDeep,
            "a call would have gone deeper than allowed",
        ),
    ] {
        let name: String = format!("{status:?}")
            .char_indices()
            .flat_map(|(at, c)| {
                let parts = c.is_ascii_uppercase() && at > 0;
                parts
                    .then_some('_')
                    .into_iter()
                    .chain([c.to_ascii_uppercase()])
            })
            .collect();
        let _ = writeln!(
            text,
            "    PATCHJIT_{name} = {}, /* {meaning} */",
            status as u32
        );
    }
    *text += "};

struct patchjit_context;

/* A function of a program: arguments in values from the front, results over them. Each is 64 bits: i32 with zeros above,
   floats as their bits, f32 with zeros above. Gives an enum patchjit_status. */
typedef uint32_t (PATCHJIT_CALL *patchjit_entry)(struct patchjit_context *context, uint64_t *values);

/* A host function: arguments and results likewise; context is host_context. A status other than 0 leaves the run. */
typedef uint32_t (PATCHJIT_CALL *patchjit_host)(void *context, uint64_t *values);

/* Where calls through cells find a function. */
struct patchjit_cell {
    uint64_t code;
    uint64_t signature;
};

/* Memory of a region. */
struct patchjit_binding {
    void *base;
    uint64_t size;
};

/* What compiled code reaches. Set everything that is not said to be its own; zeros stand for what the program does not use. */
struct patchjit_context {
    uint64_t *slots;
    const patchjit_host *hosts;
    void *host_context;
    const struct patchjit_cell *cells;
    int64_t fuel;         /* counts down, in code that charges fuel */
    int64_t depth;        /* calls that may be nested; at least 1 */
    uint32_t interrupt;   /* not 0: the next poll leaves; other threads may store here, atomically */
    uint32_t status;      /* compiled code's own */
    uint32_t exit_number; /* which exit or trap it was */
    uint32_t reserved;
    uint64_t stack;       /* compiled code's own */
    uint64_t cell_count;
";
    let _ = writeln!(text, "    struct patchjit_binding regions[{MAX_REGIONS}];");
    *text += "    uint64_t *exit_counters;
};

/* Runs a function and leaves depth and stack as they were, however the run ended. */
static inline uint32_t patchjit_enter(patchjit_entry entry, struct patchjit_context *context, uint64_t *values) {
    int64_t depth = context->depth;
    uint64_t stack = context->stack;
    uint32_t status = entry(context, values);
    context->depth = depth;
    context->stack = stack;
    return status;
}

";
}

/// Outside of what headers share: another version may have written the first one.
fn assertions(text: &mut String) {
    for (field, offset) in [
        ("slots", offset::SLOTS),
        ("hosts", offset::HOSTS),
        ("host_context", offset::HOST_CONTEXT),
        ("cells", offset::CELLS),
        ("fuel", offset::FUEL),
        ("depth", offset::DEPTH),
        ("interrupt", offset::INTERRUPT),
        ("status", offset::STATUS),
        ("exit_number", offset::EXIT_NUMBER),
        ("stack", offset::STACK),
        ("cell_count", offset::CELL_COUNT),
        ("regions", offset::REGIONS),
        ("exit_counters", offset::EXIT_COUNTERS),
    ] {
        let place = format!("offsetof(struct patchjit_context, {field})");
        let _ = writeln!(text, "PATCHJIT_ASSERT({place} == {offset});");
    }
    *text += "PATCHJIT_ASSERT(sizeof(struct patchjit_binding) == 16);\n\n";
}

/// What the context must have room for.
fn needs(text: &mut String, module: &Module, interface: &Interface, facts: Facts<'_>) {
    let Facts {
        fuel, frame_bytes, ..
    } = facts;
    let fuel = if fuel { "charges" } else { "does not charge" };
    let _ = writeln!(text, "/* The code {fuel} fuel. */\n");
    let _ = writeln!(text, "/* How many slots there must be. */");
    let slots = module.program().slot_count;
    let _ = writeln!(text, "#define {} {slots}\n", interface.slots);
    let _ = writeln!(
        text,
        "/* The most bytes of stack that a call takes; depth times this must be there. */"
    );
    let _ = writeln!(text, "#define {} {frame_bytes}\n", interface.frame_bytes);
}

fn functions(text: &mut String, module: &Module, interface: &Interface) {
    for (index, function) in interface.functions.iter().enumerate() {
        let types = (module.parameters(index), module.results(index));
        describe(text, &module.function_name(index), types);
        let _ = writeln!(
            text,
            "uint32_t PATCHJIT_CALL {}(struct patchjit_context *context, uint64_t *values);\n",
            function.symbol
        );
    }
}

/// A comment: signature, and how many values there must be room for.
fn describe(text: &mut String, name: &str, (parameters, results): (&[Type], &[Type])) {
    let names = |types: &[Type]| {
        let names: Vec<_> = types.iter().map(|ty| ty.name()).collect();
        names.join(", ")
    };
    let _ = write!(text, "/* @{name}({})", names(parameters));
    if !results.is_empty() {
        let _ = write!(text, " -> {}", names(results));
    }
    let room = parameters.len().max(results.len());
    let _ = writeln!(text, "; values: {room} */");
}

/// Host functions, the tables, and a function that puts them into a context.
fn tables(text: &mut String, module: &Module, interface: &Interface) {
    let program = module.program();
    let mut binding = String::new();
    if !interface.hosts.is_empty() {
        *text += "/* Host functions, which the object does not have: define them. */\n\n";
        for (index, (symbol, host)) in interface.hosts.iter().zip(program.hosts).enumerate() {
            let (parameters, results) = (
                program.parameters(host.signature),
                program.results(host.signature),
            );
            describe(text, &module.host_name(index as u32), (parameters, results));
            let _ = writeln!(
                text,
                "uint32_t PATCHJIT_CALL {symbol}(void *context, uint64_t *values);\n"
            );
        }
        let (table, count) = (&interface.host_table, interface.hosts.len());
        let _ = writeln!(text, "extern const patchjit_host {table}[{count}];\n");
        let _ = writeln!(binding, "    context->hosts = {table};");
    }
    if let Some(table) = &interface.cell_table {
        let count = interface.functions.len();
        let _ = writeln!(
            text,
            "/* One cell for each function, in the order above. */\n\
             extern const struct patchjit_cell {table}[{count}];\n"
        );
        let _ = writeln!(
            binding,
            "    context->cells = {table};\n    context->cell_count = {count};"
        );
    }
    if binding.is_empty() {
        binding += "    (void)context; /* there are none */\n";
    }
    let _ = writeln!(
        text,
        "/* Puts the program's tables into a context. */\n\
         static inline void {}(struct patchjit_context *context) {{\n{binding}}}\n",
        interface.bind
    );
}

fn bind_region(text: &mut String, module: &Module, index: usize, names: &RegionInterface) {
    let RegionInterface { bind, size } = names;
    let region = module.program().regions[index];
    let bytes = region.size;
    let (parameter, bound, note) = if region.grows() {
        let note = format!(" It may be longer, and grow to {} bytes.", region.most);
        (", uint64_t size", "size", note)
    } else {
        ("", size.as_str(), String::new())
    };
    let name = module.region_name(index as u32);
    let _ = writeln!(
        text,
        "/* Region @{name}. Binds memory of this size that holds zeros, is aligned to 16 bytes and belongs to no other region,\n   \
         and writes into it what the program begins with.{note} */\n\
         #define {size} UINT64_C({bytes})\n\
         static inline void {bind}(struct patchjit_context *context, void *memory{parameter}) {{"
    );
    let contents = module.contents().iter().filter(|part| part.region == index);
    for (part, content) in contents.filter(|part| !part.bytes.is_empty()).enumerate() {
        let _ = write!(text, "    static const uint8_t part{part}[] = {{");
        for (at, byte) in content.bytes.iter().enumerate() {
            let space = if at % 20 == 0 { "\n        " } else { " " };
            let _ = write!(text, "{space}{byte},");
        }
        let (offset, length) = (content.offset, content.bytes.len());
        let _ = writeln!(
            text,
            "\n    }};\n    memcpy((uint8_t *)memory + {offset}, part{part}, {length});"
        );
    }
    let _ = writeln!(
        text,
        "    context->regions[{index}].base = memory;\n    context->regions[{index}].size = {bound};\n}}\n"
    );
}
