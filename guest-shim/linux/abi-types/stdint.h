/* What include/abi/ takes from <stdint.h>, as Linux has it. */
#include <linux/types.h>
