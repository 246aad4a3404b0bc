/*
 * I/O ports: the UART, the sleep and reset ports, an RTC that is never busy. There is no PCI bus;
 * what nobody claims floats high.
 */
#include "arch/x86/guest/platform.h"

#include "arch/x86/guest/platform_state.h"
#include <abi/platform.h>

#define PORT_RTC_INDEX 0x70
#define PORT_RTC_DATA  0x71

/* Register A: divider running, update-in-progress clear; D: the RAM is valid; B: 24 hours, binary.
 */
#define RTC_A       0x0a
#define RTC_A_VALUE 0x26
#define RTC_B       0x0b
#define RTC_B_VALUE 0x06
#define RTC_D       0x0d
#define RTC_D_VALUE 0x80

/* ACPI 6.4, 4.8.3.7: SLP_EN of the sleep control register. */
#define SLEEP_ENABLE BIT(5)
/* The keyboard controller's command to pulse the reset line. */
#define RESET_PULSE 0xfe

static u8 rtc_read(const struct platform *platform)
{
	switch (platform->rtc_index & 0x7f) {
	case RTC_A:
		return RTC_A_VALUE;
	case RTC_B:
		return RTC_B_VALUE;
	case RTC_D:
		return RTC_D_VALUE;
	default:
		return 0;
	}
}

static bool is_uart(u16 port)
{
	return (u16)(port - PLATFORM_UART_PORT) < 8;
}

static u32 read_port(struct vcpu *vcpu, u16 port)
{
	if (likely(is_uart(port)))
		return uart_guest_read(vcpu->vm, port - PLATFORM_UART_PORT);
	switch (port) {
	case PORT_RTC_DATA:
		return rtc_read(vcpu->vm->platform);
	case PLATFORM_RESET_PORT: /* status of the keyboard controller: ready for a command */
		return 0;
	default:
		return 0xff;
	}
}

static void write_port(struct vcpu *vcpu, u16 port, u8 value)
{
	if (likely(is_uart(port))) {
		uart_guest_write(vcpu->vm, port - PLATFORM_UART_PORT, value);
		return;
	}
	switch (port) {
	case PORT_RTC_INDEX:
		vcpu->vm->platform->rtc_index = value;
		break;
	case PLATFORM_SLEEP_PORT:
		if (value & SLEEP_ENABLE)
			vm_stop(vcpu->vm, STOP_POWER_OFF, value);
		break;
	case PLATFORM_RESET_PORT:
		if (value == RESET_PULSE)
			vm_stop(vcpu->vm, STOP_RESET, value);
		break;
	default:
		break;
	}
}

void port_io(struct vcpu *vcpu, u16 port, unsigned size, bool is_write, u32 *value)
{
	u32 result = 0;

	if (likely(size == 1)) {
		if (is_write)
			write_port(vcpu, port, (u8)*value);
		else
			*value = read_port(vcpu, port);
		return;
	}
	/* Devices here are eight bits wide; the bus splits what is wider into bytes. */
	for (unsigned i = 0; i < size; i++) {
		if (is_write)
			write_port(vcpu, (u16)(port + i), (u8)(*value >> 8 * i));
		else
			result |= read_port(vcpu, (u16)(port + i)) << 8 * i;
	}
	if (!is_write)
		*value = result;
}
