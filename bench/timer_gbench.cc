/* Timing through Google Benchmark: one registered benchmark a repetition, manual time, and a
 * reporter that keeps the one run and writes nothing. */
#include "timer.h"

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

namespace
{

class Keeper : public benchmark::BenchmarkReporter
{
  public:
    bool ReportContext(const Context &) override
    {
        return true;
    }
    void ReportRuns(const std::vector<Run> &runs) override
    {
        for (const Run &run : runs) {
            if (run.run_type != Run::RT_Iteration || run.error_occurred)
                continue;
            result.iterations = static_cast<uint64_t>(run.iterations);
            result.seconds = run.real_accumulated_time;
            count++;
        }
    }
    vg_timer_result result = {0, 0};
    int count = 0;
};

} // namespace

vg_status vg_timer_start(size_t flag_count, const char *const *flags)
try {
    std::vector<std::string> texts = {"bench"};
    for (size_t i = 0; i < flag_count; i++)
        texts.push_back(flags[i]);
    std::vector<char *> argv;
    for (std::string &text : texts)
        argv.push_back(&text[0]);
    argv.push_back(nullptr);
    int argc = static_cast<int>(texts.size());
    benchmark::Initialize(&argc, argv.data());
    if (argc > 1)
        VG_FAIL(VG_INVALID, "%s: Google Benchmark knows no such flag", argv[1]);
    return VG_OK;
} catch (const std::exception &failure) {
    VG_FAIL(VG_NO_MEMORY, "starting Google Benchmark: %s", failure.what());
}

vg_status vg_timer_run(const char *name, vg_timer_fn *region, void *context, uint32_t iterations,
                       vg_timer_result *out)
try {
    if (iterations == 0)
        VG_FAIL(VG_INVALID, "%s: a repetition of no iterations", name);
    vg_status status = VG_OK;
    bool ran = false;
    auto body = [&](benchmark::State &state) {
        while (state.KeepRunningBatch(iterations)) {
            double seconds = 0;
            ran = true;
            status = region(context, iterations, &seconds);
            if (status != VG_OK) {
                state.SkipWithError("the region failed");
                break;
            }
            state.SetIterationTime(seconds);
        }
    };
    benchmark::RegisterBenchmark(name, body)->UseManualTime()->Iterations(iterations);
    Keeper keeper;
    benchmark::RunSpecifiedBenchmarks(&keeper, std::string("."));
    benchmark::ClearRegisteredBenchmarks();
    if (status != VG_OK)
        return status;
    if (!ran || keeper.count != 1)
        VG_FAIL(VG_INVALID, "%s: Google Benchmark reported %d runs, expected one", name,
                keeper.count);
    *out = keeper.result;
    return VG_OK;
} catch (const std::exception &failure) {
    benchmark::ClearRegisteredBenchmarks();
    VG_FAIL(VG_NO_MEMORY, "%s: %s", name, failure.what());
}
