/* Any bytes as a case's name: refused with one line, or a model whose name they are, whose sizes
 * can be told and whose program, where it is small, passes its own check. */
#include "fuzz.h"

#include "vg/case.h"
#include "vg/lower.h"

static void check_program(const vg_model *model)
{
    const vg_lowering how = {.profile = true};
    uint64_t arena;
    vg_status status = vg_lower_bytes(model, &how, &arena);
    require(status == VG_OK || status == VG_INVALID, "a size neither told nor refused");
    if (status != VG_OK || arena > 1 << 20 || model->depth > 64 || model->seq_len > 64)
        return;
    vg_program *program;
    require(vg_lower(model, &how, &program) == VG_OK, "not lowered");
    require(program->arena_bytes == arena, "another size than was told");
    require(vg_program_check(program) == VG_OK, "not a sound program");
    vg_program_free(program);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = text_of(bytes, size), name[VG_CASE_NAME];
    vg_model model;
    vg_status status = vg_case_parse(text, &model);
    if (status == VG_OK) {
        vg_case_name(&model, name);
        require(strcmp(name, text) == 0, "another name");
        check_program(&model);
    } else {
        require(status == VG_INVALID || status == VG_UNSUPPORTED, "neither a case nor none");
        require_reason();
    }
    free(text);
    return 0;
}
