/*
 * The one instance of the counters.
 */
#include "guest-shim/counters.h"

struct counters counters;
