/* The parts of WASI preview 1 that the programs here use, without a C library. */
#include <stddef.h>
#include <stdint.h>

#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name)))

struct piece {
    const void *bytes;
    size_t length;
};

WASI(args_sizes_get) int args_sizes_get(size_t *count, size_t *bytes);
WASI(args_get) int args_get(char **arguments, char *bytes);
WASI(clock_time_get) int clock_time_get(int clock, uint64_t precision, uint64_t *time);
WASI(random_get) int random_get(void *bytes, size_t length);
WASI(fd_write) int fd_write(int file, const struct piece *pieces, size_t count, size_t *written);
WASI(fd_read) int fd_read(int file, const struct piece *pieces, size_t count, size_t *got);
WASI(proc_exit) _Noreturn void proc_exit(int status);
