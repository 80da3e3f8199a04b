/* In the place of cuda/library.c: what cuBLASLt, cuDNN and NVML export comes from tables. */
#include "internal.h"

#include "library.h"

#include <cublasLt.h>

#include <cstring>

namespace
{

struct library {
    const char *stem; /* of the file's name */
    const emu_function *(*functions)();
};

#define FUNCTION(name)                                                                             \
    {                                                                                              \
#name, (void *)&name                                                                       \
    }
const emu_function *cublaslt_functions()
{
    static const emu_function functions[] = {
        FUNCTION(cublasLtCreate),
        FUNCTION(cublasLtDestroy),
        FUNCTION(cublasLtGetVersion),
        FUNCTION(cublasLtGetStatusName),
        FUNCTION(cublasLtGetStatusString),
        FUNCTION(cublasLtMatrixLayoutCreate),
        FUNCTION(cublasLtMatrixLayoutDestroy),
        FUNCTION(cublasLtMatrixLayoutSetAttribute),
        FUNCTION(cublasLtMatmulDescCreate),
        FUNCTION(cublasLtMatmulDescDestroy),
        FUNCTION(cublasLtMatmulDescSetAttribute),
        FUNCTION(cublasLtMatmulPreferenceCreate),
        FUNCTION(cublasLtMatmulPreferenceDestroy),
        FUNCTION(cublasLtMatmulPreferenceSetAttribute),
        FUNCTION(cublasLtMatmulAlgoGetHeuristic),
        FUNCTION(cublasLtMatmul),
        {nullptr, nullptr},
    };
    return emu_current()->no_products ? nullptr : functions;
}
#undef FUNCTION

const emu_function *cudnn_functions()
{
    return emu_cudnn_functions ? emu_cudnn_functions() : nullptr;
}

const library libraries[] = {
    {"libcublasLt.so", cublaslt_functions},
    {"libcudnn.so", cudnn_functions},
    {"libnvidia-ml.so", emu_nvml_functions},
};

const emu_function *open_first(const char *const *files)
{
    for (; *files; files++) {
        const char *slash = strrchr(*files, '/');
        const char *file = slash ? slash + 1 : *files;
        for (const library &l : libraries)
            if (!strncmp(file, l.stem, strlen(l.stem)))
                if (const emu_function *functions = l.functions())
                    return functions;
    }
    return nullptr;
}

} // namespace

vg_status vg_library_open(const char *const *files, const vg_symbol *symbols)
{
    const emu_function *functions = open_first(files);
    if (!functions)
        VG_FAIL(VG_UNSUPPORTED, "%s: not found", files[0]);
    for (; symbols->name; symbols++) {
        const emu_function *f = functions;
        while (f->name && strcmp(f->name, symbols->name))
            f++;
        if (!f->name)
            VG_FAIL(VG_UNSUPPORTED, "%s: no %s", files[0], symbols->name);
        *symbols->to = f->function;
    }
    return VG_OK;
}
