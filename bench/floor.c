/* The floor of a case: what its arithmetic and its bytes cost at the measured peaks. */
#include "floor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double bytes_of(const vg_mat *mat)
{
    return (double)mat->rows * mat->cols * (double)vg_dtype_size(mat->dtype);
}

/* Seconds to move a window once, where `distance` bytes are touched from one use of it to the next:
 * of what goes round in turn a level can keep no more than its share, capacity / distance (under
 * the best replacement, Belady 1966); the rest comes from further out. */
static double window_seconds(const vg_mat *mat, double distance, const vg_peaks *peaks)
{
    double seconds = peaks->levels > 0 || bytes_of(mat) == 0 ? 0 : (double)NAN, kept = 0;
    for (uint32_t i = 0; i < peaks->levels && kept < 1; i++) {
        const double capacity = peaks->level[i].capacity_bytes;
        const bool all = capacity >= distance || i + 1 == peaks->levels;
        const double share = all ? 1 : fmax(kept, capacity / distance);
        seconds += (share - kept) * bytes_of(mat) / peaks->level[i].bytes_per_s;
        kept = share;
    }
    return seconds;
}

static bool is_held(const vg_mat *mat, const vg_peaks *peaks)
{
    return bytes_of(mat) <= peaks->held_bytes;
}

static bool window_same(const vg_mat *a, const vg_mat *b)
{
    return a->at == b->at && a->rows == b->rows && a->cols == b->cols;
}

/* An operand that is the very window of one before it is counted there. */
static bool operand_repeats(const vg_op *op, const vg_operand *first, const vg_operand *operand)
{
    for (const vg_operand *before = first; before < operand; before++)
        if (window_same(vg_op_mat(op, before), vg_op_mat(op, operand)))
            return true;
    return false;
}

static bool is_scan(const vg_op *op)
{
    return op->kind == VG_SCAN_FWD || op->kind == VG_SCAN_BWD;
}

/* A scan in whichever way costs least: units shared out and a barrier a step, batch rows shared
 * out, where each thread reads all the weights, or each of `layers` on one thread, several at a
 * time. */
static double scan_floor(const vg_op *op, const vg_peaks *peaks, uint32_t threads, uint32_t layers,
                         double moving, double weights)
{
    const double steps = (double)(op->t1 - op->t0);
    const double computing = vg_op_flop(op) / peaks->flop_per_s;
    if (threads < 2)
        return fmax(computing, moving + weights);
    double least = fmax(computing, moving + weights) + steps * peaks->barrier_s;
    const double at_once = fmin(layers, threads);
    least = fmin(least, fmax(computing * threads / at_once, moving + weights));
    if (op->batch >= threads)
        least = fmin(least, fmax(computing, moving + weights * threads));
    return least;
}

/* Calls `visit` for every window that an op moves, in order; a clip's gradients are read for the
 * norm, and at worst written. */
typedef void window_fn(void *context, const vg_mat *mat, const char *name);

static void op_windows(const vg_op *op, window_fn *visit, void *context)
{
    const vg_operand *first = vg_op_operands(op->kind);
    for (const vg_operand *operand = first; operand->name; operand++)
        if (!vg_op_leaves(op, vg_op_mat(op, operand)) && !operand_repeats(op, first, operand))
            visit(context, vg_op_mat(op, operand), operand->name);
    for (uint32_t i = 0; op->kind == VG_CLIP && i < 2 * op->clip.count; i++)
        visit(context, &op->clip.grads[i % op->clip.count], "grads");
}

typedef struct op_sum {
    const vg_op *op;
    const vg_peaks *peaks;
    const double *distances; /* of this op's windows, as they are visited */
    uint32_t threads, layers;
    size_t visited;
    double moving, weights;
} op_sum;

static void window_add(void *context, const vg_mat *mat, const char *name)
{
    op_sum *sum = context;
    const vg_op *op = sum->op;
    double distance = sum->distances[sum->visited++];
    if (is_scan(op) && strcmp(name, "weight_hh") == 0) {
        /* After the first step nothing else of its size lies between. */
        const double again = window_seconds(mat, bytes_of(mat), sum->peaks);
        const double steps = is_held(mat, sum->peaks) ? 0 : (double)(op->t1 - op->t0) - 1;
        sum->weights = window_seconds(mat, distance, sum->peaks) + steps * again;
    } else {
        sum->moving += window_seconds(mat, distance, sum->peaks);
    }
}

static double op_floor(op_sum *sum)
{
    op_windows(sum->op, window_add, sum);
    double computing = vg_op_flop(sum->op) / sum->peaks->flop_per_s;
    if (isnan(computing) || isnan(sum->moving) || isnan(sum->weights))
        return (double)NAN;
    if (is_scan(sum->op))
        return scan_floor(sum->op, sum->peaks, sum->threads, sum->layers, sum->moving,
                          sum->weights);
    return fmax(computing, sum->moving);
}

/* The windows of the passes in order, as they are touched when the passes run again and again. */
typedef struct touches {
    const vg_mat **windows;
    size_t count;
} touches;

static void touch_count(void *context, const vg_mat *mat, const char *name)
{
    (void)mat, (void)name;
    ++*(size_t *)context;
}

static void touch_add(void *context, const vg_mat *mat, const char *name)
{
    (void)name;
    touches *t = context;
    t->windows[t->count++] = mat;
}

static int window_order(const void *a, const void *b)
{
    const vg_mat *x = *(const vg_mat *const *)a, *y = *(const vg_mat *const *)b;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    if (x->rows != y->rows)
        return x->rows < y->rows ? -1 : 1;
    return (x->cols > y->cols) - (x->cols < y->cols);
}

/* Sums of prefixes under changes (Fenwick 1994); position 0 stands at tree[1]. */
static void tree_add(double *tree, size_t size, size_t at, double value)
{
    for (size_t i = at + 1; i <= size; i += i & (~i + 1))
        tree[i] += value;
}

static double tree_sum(const double *tree, size_t count)
{
    double sum = 0;
    for (size_t i = count; i > 0; i -= i & (~i + 1))
        sum += tree[i];
    return sum;
}

/* The bytes of all different windows touched from one touch of each window up to the next, its own
 * among them, in a round of the passes that follows another (Mattson et al. 1970). `sorted` and
 * `last` have room for count, `tree` for 2 count + 1 zeros. */
static void distances_find(const touches *t, const vg_mat **sorted, size_t *last, double *tree,
                           double *distances)
{
    const size_t n = t->count, never = SIZE_MAX;
    memcpy(sorted, t->windows, n * sizeof(const vg_mat *));
    qsort(sorted, n, sizeof(const vg_mat *), window_order);
    for (size_t i = 0; i < n; i++)
        last[i] = never;
    for (size_t now = 0; now < 2 * n; now++) {
        const vg_mat *window = t->windows[now % n];
        const vg_mat **found = bsearch(&window, sorted, n, sizeof(const vg_mat *), window_order);
        while (found > sorted && window_order(found - 1, &window) == 0)
            found--; /* the first of those that are the same */
        size_t *before = &last[found - sorted];
        if (*before != never) {
            distances[now % n] = tree_sum(tree, now) - tree_sum(tree, *before);
            tree_add(tree, 2 * n, *before, -bytes_of(window));
        }
        tree_add(tree, 2 * n, now, bytes_of(window));
        *before = now;
    }
}

/* The layers whose scans a pass like this op's runs through. */
static uint32_t layers_count(const vg_program *program, const vg_op *op)
{
    uint32_t layers = 0;
    for (uint32_t i = 0; i < program->op_count && is_scan(op); i++)
        layers += program->ops[i].kind == op->kind && program->ops[i].pass == op->pass;
    return layers;
}

double vg_floor(const vg_program *program, unsigned passes, const vg_peaks *peaks, uint32_t threads)
{
    size_t count = 0;
    for (uint32_t i = 0; i < program->op_count; i++)
        if (program->ops[i].pass & passes)
            op_windows(&program->ops[i], touch_count, &count);
    const vg_mat **windows = calloc(2 * count + 1, sizeof *windows);
    size_t *last = calloc(count + 1, sizeof *last);
    double *numbers = calloc(3 * count + 2, sizeof *numbers); /* distances, then the tree */
    double sum = windows && last && numbers ? 0 : (double)NAN;
    touches t = {.windows = windows};
    for (uint32_t i = 0; i < program->op_count && !isnan(sum); i++)
        if (program->ops[i].pass & passes)
            op_windows(&program->ops[i], touch_add, &t);
    if (t.count > 0)
        distances_find(&t, windows + count, last, numbers + count, numbers);
    const double *distances = numbers;
    for (uint32_t i = 0; i < program->op_count && !isnan(sum); i++) {
        if (!(program->ops[i].pass & passes))
            continue;
        op_sum one = {.op = &program->ops[i],
                      .peaks = peaks,
                      .distances = distances,
                      .threads = threads,
                      .layers = layers_count(program, &program->ops[i])};
        sum += op_floor(&one);
        distances += one.visited;
    }
    free(windows);
    free(last);
    free(numbers);
    return sum;
}
