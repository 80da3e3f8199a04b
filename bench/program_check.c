/* Every window inside the arena, every shape as its op says, nothing written over an operand. */
#include "vg/program.h"

#include <inttypes.h>

typedef struct checker {
    const vg_program *program;
    const vg_op *op;
    uint32_t index;
} checker;

static vg_status fail(const checker *c, const char *operand, const char *what)
{
    return vg_fail(VG_INVALID, "op %" PRIu32 " (%s, layer %" PRIu32 "): %s: %s", c->index,
                   vg_op_name(c->op->kind), c->op->layer, operand, what);
}

/* One past the window's last byte; false where the sum does not fit 64 bits. */
static bool mat_end(const vg_mat *m, uint64_t *end)
{
    uint64_t bytes;
    return !__builtin_mul_overflow(m->rows - 1, (uint64_t)m->ld, &bytes) &&
           !__builtin_add_overflow(bytes, (uint64_t)m->cols, &bytes) &&
           !__builtin_mul_overflow(bytes, (uint64_t)vg_dtype_size(m->dtype), &bytes) &&
           !__builtin_add_overflow(bytes, m->at, end);
}

static const char *check_mat(const vg_program *program, const vg_mat *m)
{
    uint64_t end;
    if (m->rows == 0)
        return NULL;
    if ((unsigned)m->dtype >= VG_DTYPE_COUNT || m->dtype == VG_TF32)
        return "not a dtype of a window";
    if (m->cols == 0 || m->ld < m->cols)
        return "no columns, or a row shorter than its columns";
    if (m->at % vg_dtype_size(m->dtype) != 0)
        return "not aligned to its element";
    if (!mat_end(m, &end) || end > program->arena_bytes)
        return "outside the arena";
    return NULL;
}

static bool same(const vg_mat *a, const vg_mat *b)
{
    return a->at == b->at && a->rows == b->rows && a->cols == b->cols && a->ld == b->ld &&
           a->dtype == b->dtype;
}

static bool overlap(const vg_mat *a, const vg_mat *b)
{
    uint64_t a_end, b_end;
    if (a->rows == 0 || b->rows == 0 || !mat_end(a, &a_end) || !mat_end(b, &b_end))
        return false;
    return a->at < b_end && b->at < a_end;
}

/* Pairs that may be one and the same window (see program.h). */
static bool may_be_one(const vg_op *op, const vg_mat *a, const vg_mat *b)
{
    if (op->kind == VG_DENSE_BWD_DATA && op->activation == VG_identity)
        return a == &op->dense_bwd_data.dz && b == &op->dense_bwd_data.dy;
    if (op->kind == VG_SCAN_BWD) {
        if (a == &op->scan_bwd.dgates_h && b == &op->scan_bwd.dgates_x)
            return !vg_cell_find(op->cell)->gates_differ;
        for (int s = 0; s < VG_MAX_STATES; s++)
            if (a == &op->scan_bwd.dstate0[s] && b == &op->scan_bwd.dstateT[s])
                return true;
    }
    for (int i = 0; op->kind == VG_RESCALE && i < VG_MAX_SIGNALS; i++)
        if (a == &op->rescale.out[i] && b == &op->rescale.in[i])
            return true;
    return false;
}

static vg_status check_operands(const checker *c)
{
    const vg_operand *operands = vg_op_operands(c->op->kind);
    for (const vg_operand *o = operands; o->name; o++) {
        const char *wrong = check_mat(c->program, vg_op_mat(c->op, o));
        if (wrong)
            return fail(c, o->name, wrong);
    }
    for (const vg_operand *w = operands; w->name; w++) {
        for (const vg_operand *o = operands; o->name; o++) {
            const vg_mat *a = vg_op_mat(c->op, w), *b = vg_op_mat(c->op, o);
            if (w->access != VG_WRITES || a == b || !overlap(a, b))
                continue;
            bool one =
                may_be_one(c->op, a, b) || (o->access == VG_WRITES && may_be_one(c->op, b, a));
            if (!one || !same(a, b))
                return fail(c, w->name, "lies over another operand");
        }
    }
    return VG_OK;
}

static bool shape(const vg_mat *m, uint64_t rows, uint64_t cols)
{
    return m->rows == rows && m->cols == cols;
}

static bool absent_or(const vg_mat *m, uint64_t rows, uint64_t cols)
{
    return m->rows == 0 || shape(m, rows, cols);
}

#define EXPECT(condition, operand)                                                                 \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return fail(c, operand, "not of the shape that the op says");                          \
    } while (0)

static uint64_t pieces_of(const vg_op *op)
{
    return op->activation == VG_maxout ? op->pieces : 1;
}

static vg_status check_dense_fwd(const checker *c)
{
    const vg_dense_fwd *d = &c->op->dense_fwd;
    uint64_t rows = d->x.rows, p = pieces_of(c->op), out = d->y.cols;
    EXPECT(rows > 0, "x");
    EXPECT(shape(&d->y, rows, out), "y");
    EXPECT(shape(&d->weight, p * out, d->x.cols), "weight");
    EXPECT(shape(&d->bias, 1, p * out), "bias");
    EXPECT(absent_or(&d->skip, rows, out), "skip");
    EXPECT(d->skip.rows ? shape(&d->a, rows, out) : d->a.rows == 0, "a");
    EXPECT(c->op->activation == VG_maxout ? shape(&d->winner, rows, out) : d->winner.rows == 0,
           "winner");
    EXPECT(d->winner.rows == 0 || d->winner.dtype == VG_U8, "winner");
    return VG_OK;
}

static vg_status check_dense_bwd_data(const checker *c)
{
    const vg_dense_bwd_data *d = &c->op->dense_bwd_data;
    uint64_t rows = d->dy.rows, p = pieces_of(c->op), out = d->dy.cols;
    EXPECT(rows > 0, "dy");
    EXPECT(shape(&d->a, rows, out), "a");
    EXPECT(shape(&d->dz, rows, p * out), "dz");
    EXPECT(c->op->activation != VG_identity || same(&d->dz, &d->dy), "dz");
    EXPECT(d->weight.rows == p * out, "weight");
    EXPECT(shape(&d->dx, rows, d->weight.cols), "dx");
    EXPECT(!d->residual || d->dx.cols == out, "dx");
    EXPECT(c->op->activation == VG_maxout ? shape(&d->winner, rows, out) : d->winner.rows == 0,
           "winner");
    EXPECT(d->winner.rows == 0 || d->winner.dtype == VG_U8, "winner");
    return VG_OK;
}

static vg_status check_dense_bwd_weights(const checker *c)
{
    const vg_dense_bwd_weights *d = &c->op->dense_bwd_weights;
    EXPECT(d->dz.rows > 0, "dz");
    EXPECT(d->x.rows == d->dz.rows, "x");
    EXPECT(shape(&d->dweight, d->dz.cols, d->x.cols), "dweight");
    EXPECT(shape(&d->dbias, 1, d->dz.cols), "dbias");
    return VG_OK;
}

/* What both scans share: steps, weight_hh, y, reserve and the states before step 0. */
static vg_status check_scan(const checker *c, const vg_mat *y, const vg_mat *weight_hh,
                            const vg_mat *state0, const vg_mat *reserve)
{
    const vg_op *op = c->op;
    if (op->cell <= VG_stack || op->cell >= VG_MODEL_COUNT)
        return fail(c, "cell", "is none");
    const vg_cell_info *cell = vg_cell_find(op->cell);
    uint64_t h = y->cols, b = op->batch;
    EXPECT(b > 0 && y->rows > 0 && y->rows % b == 0, "y");
    if (op->t0 >= op->t1 || op->t1 > y->rows / b)
        return fail(c, "steps", "outside the sequence");
    EXPECT(shape(weight_hh, cell->gates * h, h), "weight_hh");
    uint64_t kept = cell->kept + cell->states - 1;
    EXPECT(kept ? shape(reserve, y->rows, kept * h) : reserve->rows == 0, "reserve");
    EXPECT(shape(&state0[0], b, h), "h_0");
    EXPECT(cell->states > 1 ? shape(&state0[1], b, h) : state0[1].rows == 0, "c_0");
    vg_mat before = vg_mat_rows(state0[0], b, 1);
    if (state0[0].ld != y->ld || state0[0].dtype != y->dtype || before.at != y->at)
        return fail(c, "h_0", "does not stand right before y");
    return VG_OK;
}

static vg_status check_scan_fwd(const checker *c)
{
    const vg_scan_fwd *s = &c->op->scan_fwd;
    VG_TRY(check_scan(c, &s->y, &s->weight_hh, s->state0, &s->reserve));
    EXPECT(shape(&s->preact_x, s->y.rows, s->weight_hh.rows), "preact_x");
    EXPECT(shape(&s->bias_hh, 1, s->weight_hh.rows), "bias_hh");
    return VG_OK;
}

static vg_status check_scan_bwd(const checker *c)
{
    const vg_scan_bwd *s = &c->op->scan_bwd;
    VG_TRY(check_scan(c, &s->y, &s->weight_hh, s->state0, &s->reserve));
    const vg_cell_info *cell = vg_cell_find(c->op->cell);
    uint64_t b = c->op->batch, h = s->y.cols, rows = s->y.rows, gates = s->weight_hh.rows;
    EXPECT(absent_or(&s->dy, b, h) || shape(&s->dy, rows, h), "dy");
    EXPECT(shape(&s->dgates_x, rows, gates), "dgates_x");
    EXPECT(shape(&s->dgates_h, rows, gates), "dgates_h");
    EXPECT(cell->gates_differ || same(&s->dgates_h, &s->dgates_x), "dgates_h");
    EXPECT(absent_or(&s->dh, rows, h), "dh");
    EXPECT(cell->states > 1 ? absent_or(&s->dc, rows, h) : s->dc.rows == 0, "dc");
    EXPECT(absent_or(&s->dstateT[0], b, h), "dh_T");
    EXPECT(shape(&s->dstate0[0], b, h), "dh_0");
    EXPECT(cell->states > 1
               ? s->dstateT[1].rows == s->dstateT[0].rows && absent_or(&s->dstateT[1], b, h)
               : s->dstateT[1].rows == 0,
           "dc_T");
    EXPECT(cell->states > 1 ? shape(&s->dstate0[1], b, h) : s->dstate0[1].rows == 0, "dc_0");
    return VG_OK;
}

static vg_status check_loss(const checker *c)
{
    const vg_loss_op *l = &c->op->loss;
    EXPECT(l->y.rows > 0, "y");
    EXPECT(shape(&l->dy, l->y.rows, l->y.cols), "dy");
    EXPECT(l->loss == VG_LOSS_ONES ? l->target.rows == 0 : shape(&l->target, l->y.rows, l->y.cols),
           "target");
    if (l->loss == VG_LOSS_MSE && !(l->divisor > 0))
        return fail(c, "divisor", "is not positive");
    return VG_OK;
}

static vg_status check_clip(const checker *c)
{
    const vg_clip *clip = &c->op->clip;
    if (clip->count == 0 || !clip->grads || !(clip->max_norm > 0))
        return fail(c, "grads", "none, or no norm to clip to");
    for (uint32_t i = 0; i < clip->count; i++) {
        const char *wrong = check_mat(c->program, &clip->grads[i]);
        if (wrong || clip->grads[i].rows == 0)
            return fail(c, "grads", wrong ? wrong : "absent");
    }
    return VG_OK;
}

static bool slots_fit(const vg_program *program, uint64_t first, uint64_t count)
{
    return first <= program->slot_count && count <= program->slot_count - first;
}

static vg_status check_rescale(const checker *c)
{
    const vg_rescale *r = &c->op->rescale;
    EXPECT(r->in[0].rows > 0, "in_0");
    for (int i = 0; i < VG_MAX_SIGNALS; i++) {
        const vg_mat *in = &r->in[i], *out = &r->out[i];
        if (i > 0 && in->rows > 0 && r->in[i - 1].rows == 0)
            return fail(c, "in", "a gap among the signals");
        EXPECT(in->rows ? shape(out, in->rows, in->cols) : out->rows == 0, "out");
        uint64_t exponents = r->segment_rows ? (in->rows - 1) / r->segment_rows + 1 : 1;
        if (in->rows && r->exponent[i] != VG_NO_SLOT &&
            !slots_fit(c->program, r->exponent[i], exponents))
            return fail(c, "exponent", "outside the slots");
    }
    return VG_OK;
}

static vg_status check_op(const checker *c)
{
    const vg_op *op = c->op;
    if ((unsigned)op->kind >= VG_OP_COUNT)
        return fail(c, "kind", "is none");
    if (op->pass == 0 || (op->pass & (op->pass - 1)) != 0 || op->pass > VG_PASS_EXACT)
        return fail(c, "pass", "is not one pass");
    if ((unsigned)op->activation >= VG_ACTIVATION_COUNT || pieces_of(op) == 0)
        return fail(c, "activation", "is none");
    VG_TRY(check_operands(c));
    uint64_t slots = vg_op_slots(op);
    if (slots ? !slots_fit(c->program, op->slot, slots) : op->slot != VG_NO_SLOT)
        return fail(c, "slot", "outside the slots");
    switch (op->kind) {
    case VG_DENSE_FWD: return check_dense_fwd(c);
    case VG_DENSE_BWD_DATA: return check_dense_bwd_data(c);
    case VG_DENSE_BWD_WEIGHTS: return check_dense_bwd_weights(c);
    case VG_SCAN_FWD: return check_scan_fwd(c);
    case VG_SCAN_BWD: return check_scan_bwd(c);
    case VG_LOSS_OP: return check_loss(c);
    case VG_CLIP: return check_clip(c);
    case VG_RESCALE: return check_rescale(c);
    default:
        if (slots == 0)
            return fail(c, "window", "no rows, or segments of no rows");
        return VG_OK;
    }
}

static vg_status check_profile(const vg_program *program, const vg_profile *p)
{
    uint64_t count = p->steps ? p->steps : 1, last = p->first_step + count - 1;
    uint64_t pieces = p->steps && last > 0 && p->piece ? (last - 1) / p->piece + 1 : 1;
    bool fits =
        p->piece > 0 && slots_fit(program, p->plain, count) && slots_fit(program, p->exact, count);
    fits = fits && (p->exponent == VG_NO_SLOT || slots_fit(program, p->exponent, pieces));
    fits = fits && (p->census == VG_NO_SLOT || slots_fit(program, p->census, p->steps ? last : 1));
    if (!fits)
        VG_FAIL(VG_INVALID, "profile of %s, layer %" PRIu32 ": outside the slots", p->tensor,
                p->layer);
    return VG_OK;
}

vg_status vg_program_check(const vg_program *program)
{
    for (uint32_t i = 0; i < program->op_count; i++) {
        checker c = {program, &program->ops[i], i};
        VG_TRY(check_op(&c));
        if (i > 0 && program->ops[i].pass < program->ops[i - 1].pass)
            return fail(&c, "pass", "out of order");
    }
    for (uint32_t i = 0; i < program->tensor_count; i++) {
        const vg_tensor *t = &program->tensors[i];
        const char *wrong = check_mat(program, &t->mat);
        uint64_t elements = 1;
        for (uint32_t k = 0; k < t->axes && k < 3; k++)
            elements *= t->shape[k];
        if (wrong || t->axes == 0 || t->axes > 3 || elements != t->mat.rows * t->mat.cols)
            VG_FAIL(VG_INVALID, "tensor %s: %s", t->name, wrong ? wrong : "not of its shape");
    }
    for (uint32_t i = 0; i < program->profile_count; i++)
        VG_TRY(check_profile(program, &program->profiles[i]));
    return VG_OK;
}
