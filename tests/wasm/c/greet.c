/* A command-line program: greets each of its arguments, copies standard input, and ends with as many as its status. */
#include "wasi.h"

static char words[4096];
static char *arguments[64];

static size_t length_of(const char *text) {
    size_t length = 0;
    while (text[length] != 0) {
        length++;
    }
    return length;
}

static void print(const char *text) {
    struct piece piece = {text, length_of(text)};
    size_t written;
    if (fd_write(1, &piece, 1, &written) != 0 || written != piece.length) {
        proc_exit(99);
    }
}

void _start(void) {
    size_t count, bytes;
    if (args_sizes_get(&count, &bytes) != 0 || count > 64 || bytes > sizeof words) {
        proc_exit(98);
    }
    if (args_get(arguments, words) != 0) {
        proc_exit(97);
    }
    uint64_t before, after;
    unsigned char random[16];
    if (clock_time_get(1, 0, &before) != 0 || random_get(random, sizeof random) != 0 ||
        clock_time_get(1, 0, &after) != 0 || after < before) {
        proc_exit(96);
    }
    for (size_t i = 1; i < count; i++) {
        const struct piece pieces[3] = {{"Hello, ", 7}, {arguments[i], length_of(arguments[i])}, {"!\n", 2}};
        size_t written;
        if (fd_write(1, pieces, 3, &written) != 0) {
            proc_exit(95);
        }
    }
    char buffer[256];
    struct piece input = {buffer, sizeof buffer - 1};
    size_t got;
    while (fd_read(0, &input, 1, &got) == 0 && got > 0) {
        buffer[got] = 0;
        print(buffer);
    }
    if (count > 1) {
        proc_exit((int)count - 1);
    }
}
