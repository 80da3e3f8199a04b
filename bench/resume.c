/* Reading back what a run has written, and dropping what it had not finished. */
#include "resume.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MAX_COLUMNS = 64 };

/* Fields of a key are parted by what no field holds. */
static void number_text(int64_t value, char out[24])
{
    out[0] = 0;
    if (value >= 0)
        snprintf(out, 24, "%" PRId64, value);
}

static void subject_join(const char *name, const char *device, const char *threads,
                         const char *bind, const char *denormals, char out[VG_KEY])
{
    snprintf(out, VG_KEY, "%s\t%s\t%s\t%s\t%s", name, device, threads, bind, denormals);
}

static void measurement_join(const char *subject, const char *process, const char *pass,
                             const char *repetition, char out[VG_KEY])
{
    snprintf(out, VG_KEY, "%.*s\t%s\t%s\t%s", VG_KEY - 64, subject, process, pass, repetition);
}

void vg_subject_key(const vg_subject *subject, char out[VG_KEY])
{
    char threads[24];
    number_text(subject->threads, threads);
    subject_join(subject->name, subject->device, threads, subject->bind, subject->denormals, out);
}

void vg_profile_key(const char *name, const char *device, const char *denormals, char out[VG_KEY])
{
    snprintf(out, VG_KEY, "%s\t%s\t%s", name, device, denormals);
}

void vg_planned_key(const char *name, const char *device, char out[VG_KEY])
{
    snprintf(out, VG_KEY, "%s\t%s", name, device);
}

/* Reads a CSV file record by record. */
typedef struct reader {
    const char *name;
    vg_text text, copy; /* the copy is split in place */
    size_t at, line, columns;
    char *fields[MAX_COLUMNS];
    size_t record, record_size; /* of the last record in `text` */
} reader;

static void reader_close(reader *r)
{
    vg_text_free(&r->text);
    vg_text_free(&r->copy);
}

/* The next record; *got false at the end, where a line that no LF ends is dropped. */
static vg_status reader_next(reader *r, bool *got)
{
    size_t count = 0, left = r->text.size - r->at;
    *got = false;
    if (left == 0)
        return VG_OK;
    size_t used = vg_csv_split(r->copy.at + r->at, left, r->fields, MAX_COLUMNS, &count);
    if (used == 0 && !memchr(r->text.at + r->at, '\n', left))
        return VG_OK; /* torn */
    if (used == 0 && r->text.at[r->text.size - 1] != '\n')
        return VG_OK; /* torn inside a quotation */
    if (used == 0 || (r->columns > 0 && count != r->columns))
        VG_FAIL(VG_INVALID, "%s: line %zu: %zu fields, expected %zu", r->name, r->line + 1, count,
                r->columns);
    r->columns = count;
    for (size_t i = 0; i < used; i++)
        r->line += r->text.at[r->at + i] == '\n';
    r->record = r->at;
    r->record_size = used;
    r->at += used;
    *got = true;
    return VG_OK;
}

/* Opens a file and takes its header, which must be ours. A header that is torn is an empty file. */
static vg_status reader_open(reader *r, const vg_folder *folder, vg_file file)
{
    *r = (reader){.name = vg_file_name(file)};
    if (!vg_folder_has(folder, r->name))
        return VG_OK;
    VG_TRY(vg_folder_read(folder, r->name, &r->text));
    vg_text header = {0};
    vg_file_header(file, &header);
    if (r->text.size > 0)
        vg_text_add(&r->copy, r->text.at, r->text.size);
    bool memory = !header.failed && !r->copy.failed;
    size_t common = r->text.size < header.size ? r->text.size : header.size;
    bool ours = memory && (common == 0 || memcmp(r->text.at, header.at, common) == 0);
    bool whole = common == header.size;
    vg_text_free(&header);
    if (!memory)
        VG_FAIL(VG_NO_MEMORY, "%s: no memory to read it", r->name);
    if (!ours)
        VG_FAIL(VG_INVALID, "%s: line 1: not the columns that this version writes", r->name);
    if (!whole) {
        r->at = r->text.size;
        return VG_OK;
    }
    bool got;
    return reader_next(r, &got);
}

/* The fields of a record that make keys; a profile's row has the first three. */
typedef struct row_keys {
    char subject[VG_KEY], profile[VG_KEY], measurement[VG_KEY];
    const char *status;
    bool well, whole; /* the row is ok; it speaks of a case, not of one repetition */
} row_keys;

static void result_keys(char **fields, row_keys *out)
{
#define FIELD(name) fields[vg_csv_result_column(#name)]
    subject_join(FIELD(case), FIELD(device), FIELD(threads), FIELD(bind), FIELD(denormals),
                 out->subject);
    vg_profile_key(FIELD(case), FIELD(device), FIELD(denormals), out->profile);
    measurement_join(out->subject, FIELD(process), FIELD(pass), FIELD(repetition),
                     out->measurement);
    out->status = FIELD(status);
    out->well = strcmp(out->status, vg_status_name(VG_OK)) == 0;
    out->whole = FIELD(repetition)[0] == '\0';
#undef FIELD
}

/* Columns that gradients.csv and decay.csv share. */
enum { PROFILE_CASE = 2, PROFILE_DEVICE = 3, PROFILE_DENORMALS = 4 };

static void profile_key(char **fields, char out[VG_KEY])
{
    vg_profile_key(fields[PROFILE_CASE], fields[PROFILE_DEVICE], fields[PROFILE_DENORMALS], out);
}

/* What results.csv holds: rows, their subjects, and which of these ended in a failure. */
typedef struct holdings {
    vg_keys measured, subjects, failed;
} holdings;

static void holdings_free(holdings *held)
{
    vg_keys_free(&held->measured);
    vg_keys_free(&held->subjects);
    vg_keys_free(&held->failed);
}

static vg_status holdings_read(const vg_folder *folder, holdings *out)
{
    reader r;
    row_keys keys;
    bool got = true;
    vg_status status = reader_open(&r, folder, VG_FILE_RESULTS);
    while (status == VG_OK && (status = reader_next(&r, &got)) == VG_OK && got) {
        result_keys(r.fields, &keys);
        status = vg_keys_add(&out->subjects, keys.subject);
        if (status == VG_OK && keys.whole && !keys.well)
            status = vg_keys_add(&out->failed, keys.subject);
        if (status == VG_OK && strcmp(keys.status, vg_status_name(VG_INTERRUPTED)) != 0)
            status = vg_keys_add(&out->measured, keys.measurement);
    }
    reader_close(&r);
    return status;
}

static bool pass_complete(const vg_keys *measured, const char *subject, uint32_t process,
                          const char *pass, uint32_t repetitions)
{
    char key[VG_KEY], of[24], number[24];
    number_text(process, of);
    measurement_join(subject, of, pass, "", key);
    if (vg_keys_has(measured, key))
        return true;
    for (uint32_t r = 0; r < repetitions; r++) {
        number_text(r, number);
        measurement_join(subject, of, pass, number, key);
        if (!vg_keys_has(measured, key))
            return false;
    }
    return repetitions > 0;
}

static bool subject_complete(const vg_keys *measured, const char *subject,
                             const vg_options *options)
{
    for (uint32_t process = 0; process < options->processes; process++) {
        if (!options->throughput && !pass_complete(measured, subject, process, "", 0))
            return false;
        for (int pass = 0; options->throughput && pass < VG_TIMED_COUNT; pass++)
            if (options->timed & 1u << pass &&
                !pass_complete(measured, subject, process, vg_timed_name((vg_timed)pass),
                               options->repetitions))
                return false;
    }
    return true;
}

/* The first two parts of a subject's key are those of a planned one. */
static void planned_of(const char *subject, char out[VG_KEY])
{
    size_t name = strcspn(subject, "\t"), length = name;
    if (subject[name])
        length += 1 + strcspn(subject + name + 1, "\t");
    snprintf(out, VG_KEY, "%.*s", (int)length, subject);
}

/* Parts the subjects into those done and those to be dropped. */
static vg_status subjects_part(const holdings *held, const vg_options *options,
                               const vg_keys *planned, vg_keys *done, vg_keys *dropped)
{
    for (size_t i = 0; i < held->subjects.capacity; i++) {
        const char *subject = held->subjects.slots[i];
        char key[VG_KEY];
        if (!subject)
            continue;
        planned_of(subject, key);
        if (subject_complete(&held->measured, subject, options))
            VG_TRY(vg_keys_add(done, subject));
        else if (vg_keys_has(planned, key))
            VG_TRY(vg_keys_add(dropped, subject));
    }
    return VG_OK;
}

/* What decides about a record of one file. */
typedef struct filter {
    const vg_keys *dropped, *failed; /* subjects */
    const vg_keys *planned;
    vg_keys backed;    /* profiles whose subject did not fail and has an ok row that stays */
    vg_keys *profiled; /* those of them that have gradients */
} filter;

static vg_status record_keep(filter *f, vg_file file, char **fields, bool *keep)
{
    char key[VG_KEY], planned[VG_KEY];
    if (file != VG_FILE_RESULTS) {
        /* Gradients are written before results: rows that no ok row backs up were cut off. A
         * failure leaves none, whatever repetitions went well before it. */
        profile_key(fields, key);
        vg_planned_key(fields[PROFILE_CASE], fields[PROFILE_DEVICE], planned);
        const bool backed = vg_keys_has(&f->backed, key);
        *keep = backed || !vg_keys_has(f->planned, planned);
        return backed && file == VG_FILE_GRADIENTS ? vg_keys_add(f->profiled, key) : VG_OK;
    }
    row_keys keys;
    result_keys(fields, &keys);
    *keep = !vg_keys_has(f->dropped, keys.subject);
    if (*keep && keys.well && !vg_keys_has(f->failed, keys.subject))
        return vg_keys_add(&f->backed, keys.profile);
    return VG_OK;
}

static vg_status file_filter(const vg_folder *folder, vg_file file, filter *f)
{
    reader r;
    vg_text kept = {0};
    bool got = true, keep;
    vg_status status = reader_open(&r, folder, file);
    if (status == VG_OK)
        vg_file_header(file, &kept);
    while (status == VG_OK && (status = reader_next(&r, &got)) == VG_OK && got) {
        status = record_keep(f, file, r.fields, &keep);
        if (keep)
            vg_text_add(&kept, r.text.at + r.record, r.record_size);
    }
    if (status == VG_OK && kept.failed)
        status = vg_fail(VG_NO_MEMORY, "%s: no memory to write it anew", r.name);
    bool changed =
        kept.size != r.text.size || (kept.size > 0 && memcmp(kept.at, r.text.at, kept.size) != 0);
    if (status == VG_OK && changed)
        status = vg_folder_replace(folder, r.name, kept.at, kept.size);
    vg_text_free(&kept);
    reader_close(&r);
    return status;
}

vg_status vg_resume(const vg_folder *folder, const vg_options *options, const vg_keys *planned,
                    vg_keys *done, vg_keys *profiled)
{
    holdings held = {0};
    vg_keys dropped = {0};
    filter f = {
        .dropped = &dropped, .failed = &held.failed, .planned = planned, .profiled = profiled};
    vg_status status = holdings_read(folder, &held);
    if (status == VG_OK)
        status = subjects_part(&held, options, planned, done, &dropped);
    /* Results first: they say which profiles stay. */
    static const vg_file order[] = {VG_FILE_RESULTS, VG_FILE_GRADIENTS, VG_FILE_DECAY};
    for (size_t i = 0; i < sizeof order / sizeof order[0] && status == VG_OK; i++)
        status = file_filter(folder, order[i], &f);
    holdings_free(&held);
    vg_keys_free(&f.backed);
    vg_keys_free(&dropped);
    return status;
}
