#!/bin/sh
# kept_resources.sh NVCC ... -o OBJECT: runs the compiler; what ptxas says of each kernel's registers, stack
# and spills is kept in OBJECT.ptxas, for tests/check_spills.py, and all else goes to stderr.
last='' object=''
for word; do
    [ "$last" != -o ] || object=$word
    last=$word
done
status=0
"$@" -Xptxas=-v 2>"$object.ptxas" || status=$?
grep -v -e '^ptxas info *: \(Compiling\|Function properties\|Used\|Compile time\|[0-9]* bytes\)' \
    -e 'bytes stack frame,' "$object.ptxas" >&2
exit "$status"
