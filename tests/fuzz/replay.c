/* Runs a fuzz target without a fuzzer: over every file of a folder, and over mutations of them that
 * are the same every time. Usage: PROGRAM FOLDER MUTATIONS */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { MAX_SEED = 4096 };

static uint64_t random_state = 88172645463325252;

/* xorshift64 (Marsaglia 2003) */
static size_t random_below(size_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(random_state >> 11) % limit;
}

/* Up to four bytes changed, put in or taken out. */
static size_t mutate(uint8_t *bytes, size_t size)
{
    static const char interesting[] = "0123456789:*+-.,=#/ \t\nabcdefghilmnoprstuwxz_\r\0\xff";
    for (size_t n = random_below(4) + 1; n > 0; n--) {
        size_t at = random_below(size + 1);
        uint8_t byte = (uint8_t)interesting[random_below(sizeof interesting)];
        size_t what = random_below(3);
        if (what == 0 && at < size) {
            bytes[at] = byte;
        } else if (what == 1 && size < MAX_SEED) {
            memmove(bytes + at + 1, bytes + at, size - at);
            bytes[at] = byte;
            size++;
        } else if (what == 2 && at < size) {
            memmove(bytes + at, bytes + at + 1, size - at - 1);
            size--;
        }
    }
    return size;
}

static int replay(const char *path, unsigned long mutations)
{
    static uint8_t seed[MAX_SEED], bytes[MAX_SEED];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    size_t size = fread(seed, 1, sizeof seed, file);
    fclose(file);
    LLVMFuzzerTestOneInput(seed, size);
    for (unsigned long i = 0; i < mutations; i++) {
        memcpy(bytes, seed, size);
        size_t mutated = mutate(bytes, size);
        LLVMFuzzerTestOneInput(bytes, mutated);
    }
    return 0;
}

int main(int argc, char **argv)
{
    DIR *folder = argc == 3 ? opendir(argv[1]) : NULL;
    if (folder == NULL) {
        fprintf(stderr, "usage: %s FOLDER MUTATIONS\n", argv[0]);
        return 2;
    }
    int failed = 0, files = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        if (entry->d_name[0] == '.')
            continue;
        files++;
        failed |= replay(path, strtoul(argv[2], NULL, 10));
    }
    closedir(folder);
    printf("%d files\n", files);
    return failed != 0 || files == 0;
}
