/* Runs the functions of sample.uop, linked from two object files with prefixes of their own. Prints what is not as it should be, and a
   line at the end; the exit status is the number of what was not. C11, and C++ too. */
#include "other.h"
#include "sample.h"
#include <stdio.h>

static int wrong;

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            wrong++;                                                           \
            printf("line %d: not so: %s\n", __LINE__, #condition);             \
        }                                                                      \
    } while (0)

/* What host functions see through host_context. */
struct log {
    int count;
    double last;
};

uint32_t PATCHJIT_CALL mix(void *context, uint64_t *values) {
    struct log *log = (struct log *)context;
    if (log->count == 3) {
        return 9;
    }
    values[0] = values[0] * 31 + values[1];
    return 0;
}

uint32_t PATCHJIT_CALL host_2e_log(void *context, uint64_t *values) {
    struct log *log = (struct log *)context;
    log->count++;
    memcpy(&log->last, &values[0], sizeof log->last);
    return 0;
}

/* Runs an entry with two arguments. */
static uint32_t run(patchjit_entry entry, struct patchjit_context *context, uint64_t *values, uint64_t a, uint64_t b) {
    values[0] = a;
    values[1] = b;
    return patchjit_enter(entry, context, values);
}

int main(void) {
    /* Aligned as regions must be, and zeros. */
    static union {
        long double aligned;
        uint8_t bytes[sample_SIZE_memory];
    } memory, text;
    static uint64_t slots[sample_SLOTS];
    struct log log = {0, 0};
    struct patchjit_context context;
    uint64_t values[2];

    memset(&context, 0, sizeof context);
    sample_bind(&context);
    sample_bind_memory(&context, memory.bytes);
    sample_bind_some_2e_text(&context, text.bytes);
    context.slots = slots;
    context.host_context = &log;
    context.depth = 10;

    CHECK(run(sample_add, &context, values, 2, 3) == PATCHJIT_RETURNED && values[0] == 5);
    CHECK(run(sample_half, &context, values, 8, 0) == PATCHJIT_RETURNED && values[0] == 4);
    CHECK(run(sample_divide, &context, values, 17, 5) == PATCHJIT_RETURNED && values[0] == 3 && values[1] == 2);

    CHECK(run(sample_half, &context, values, 3, 0) == PATCHJIT_DEOPTIMIZED && context.exit_number == 7);
    CHECK(slots[1] == 3);
    CHECK(run(sample_divide, &context, values, 1, 0) == PATCHJIT_TRAPPED && context.exit_number == 2);
    CHECK(context.depth == 10);

    {
        double half = 0.5;
        uint64_t bits;
        memcpy(&bits, &half, sizeof bits);
        CHECK(run(sample_call_2e_host, &context, values, 4, bits) == PATCHJIT_RETURNED && values[0] == 4 * 31 + 4);
        CHECK(log.count == 1 && log.last == 0.5);
        log.count = 2;
        CHECK(run(sample_call_2e_host, &context, values, 4, bits) == PATCHJIT_TRAPPED && context.exit_number == 5);
    }

    /* Through cells: @triple is function 1; @add has another signature; there is no function 100. */
    CHECK(run(sample_choose, &context, values, 1, 5) == PATCHJIT_RETURNED && values[0] == 15);
    CHECK(run(sample_choose, &context, values, 0, 5) == PATCHJIT_TRAPPED && context.exit_number == 4);
    CHECK(run(sample_choose, &context, values, 100, 5) == PATCHJIT_TRAPPED && context.exit_number == 4);

    CHECK(run(sample_mem_2e_exchange, &context, values, 8, 5) == PATCHJIT_RETURNED && values[0] == 22);
    CHECK(memory.bytes[0] == 11 && memory.bytes[8] == 5);
    CHECK(run(sample_mem_2e_exchange, &context, values, 57, 5) == PATCHJIT_TRAPPED && context.exit_number == 1);
    CHECK(run(sample_letter, &context, values, 2, 0) == PATCHJIT_RETURNED && values[0] == 'c');

    /* The other object runs in the same process, through cells of its own. */
    other_bind(&context);
    CHECK(context.cells == other_cells && context.cells != sample_cells);
    CHECK(other_cells[1].code != sample_cells[1].code);
    CHECK(run(other_choose, &context, values, 1, 6) == PATCHJIT_RETURNED && values[0] == 18);

    context.depth = 0;
    CHECK(run(sample_add, &context, values, 2, 3) == PATCHJIT_TOO_DEEP);

    if (wrong == 0) {
        puts("all as it should be");
    }
    return wrong;
}
