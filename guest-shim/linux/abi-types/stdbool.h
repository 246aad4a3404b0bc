/* What include/abi/ takes from <stdbool.h>, as Linux has it. */
#include <linux/types.h>
#include <linux/stddef.h>
