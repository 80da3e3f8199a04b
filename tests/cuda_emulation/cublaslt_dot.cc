/* The sums of the emulated cuBLASLt's products: in fp32 over runs of k that are then added, the
 * order depending on k alone. Their vectors are the library's own copies, so no sanitizer looks on;
 * what the operands are read from and the results written to it sees in cublaslt_product.cc. */
#include "cublaslt.h"

enum { LANES = 8, RUN = 64 };

float emu::dot(const float *a, const float *b, uint64_t k)
{
    float total = 0;
    for (uint64_t from = 0; from < k; from += RUN) {
        uint64_t to = from + RUN < k ? from + RUN : k, x = from;
        float lane[LANES] = {};
        for (; x + LANES <= to; x += LANES)
            for (uint64_t i = 0; i < LANES; i++)
                lane[i] += a[x + i] * b[x + i];
        for (uint64_t i = 0; x + i < to; i++)
            lane[i] += a[x + i] * b[x + i];
        total += ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
                 ((lane[1] + lane[5]) + (lane[3] + lane[7]));
    }
    return total;
}
