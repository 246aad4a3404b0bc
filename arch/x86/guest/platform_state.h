/* What vm->platform points to: the devices of a VM that are no virtio devices. arch/x86/guest/
 * only. */
#ifndef GUEST_PLATFORM_STATE_H
#define GUEST_PLATFORM_STATE_H

#include "arch/x86/guest/ioapic.h"
#include "arch/x86/guest/uart.h"

struct platform {
	struct ioapic ioapic;
	struct uart uart;
	u8 rtc_index;
};

#endif
