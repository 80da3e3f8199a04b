/* Any bytes as a file of option lines and as one argument: they are planned, or refused with one
 * line; a planned case's name reads back. */
#include "fuzz.h"
#include "plan.h"

#include <sys/mman.h>
#include <unistd.h>

static void check_refusal(vg_status status)
{
    require(status == VG_INVALID || status == VG_DEVICE_LOST, "neither usage nor a device");
    require_reason();
}

static void check_plan(const vg_options *options)
{
    vg_plan plan = {0};
    vg_model model;
    vg_found_device found = {.driver = vg_driver_find("null"), .info = {.name = "null"}};
    vg_status status = vg_plan_cases(options, &plan);
    for (size_t i = 0; status == VG_OK && i < plan.case_count && i < 16; i++)
        require(vg_case_parse(plan.cases[i].name, &model) == VG_OK, plan.cases[i].name);
    if (status == VG_OK)
        status = vg_plan_devices(options, &found, 1, &plan);
    if (status != VG_OK)
        check_refusal(status);
    vg_plan_free(&plan);
}

static void parse(char *argument)
{
    char program[] = "bench";
    char *argv[] = {program, argument};
    vg_options options;
    vg_status status = vg_options_parse(2, argv, &options);
    if (status != VG_OK) {
        check_refusal(status);
        return;
    }
    if (options.command == VG_COMMAND_MEASURE)
        check_plan(&options);
    vg_options_free(&options);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    int file = memfd_create("options", 0);
    require(file >= 0 && write(file, bytes, size) == (ssize_t)size, "no memory file");
    char argument[64];
    snprintf(argument, sizeof argument, "--preset=/proc/self/fd/%d", file);
    parse(argument);
    close(file);

    char *text = text_of(bytes, size);
    if (strncmp(text, "--preset", 8) != 0) /* which would open any path */
        parse(text);
    free(text);
    return 0;
}
