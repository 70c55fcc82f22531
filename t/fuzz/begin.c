
/* what a target does once, unless it has something of its own to do */

#include "fuzz.h"


int __attribute__((weak))
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void) argc;
    (void) argv;

    return fuzz_begin();
}
