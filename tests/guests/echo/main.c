/*
 * The echo guest: says "heard: LINE" for every line that it reads, and ends at "quit". Its command
 * line says from what: "uart", polled, with the interrupt of input asked for but masked in the
 * IOAPIC; "console", the console device's receive queue; or "nothing", it then computes until it
 * is stopped. Interrupts are on, and none ever comes.
 */
#include "../common/guest.h"
#include "../common/virtio.h"
#include "../disk/windows.h"

enum step { ALL_RIGHT, NOT_SLUICE, BAD_LINE, NO_CONSOLE };

#define UART_IER        (PLATFORM_UART_PORT + 1)
#define UART_STATUS     (PLATFORM_UART_PORT + 5)
#define UART_DATA_READY 0x01

#define ENTRIES  2u
#define LINE_MAX 256u

static struct {
	struct virtq_desc desc[ENTRIES];
	VIRTQ_AVAIL(ENTRIES) avail;
	VIRTQ_USED(ENTRIES) used;
} __attribute__((aligned(256))) ring;

static volatile uint32_t *console;
static volatile char received;
static bool wants_quit;

static void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "d"(port));
}

static uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "d"(port));
	return value;
}

/* One byte at a time: what waits behind it stays in the device. */
static void offer(void)
{
	ring.desc[0] = (struct virtq_desc){(uint64_t)(uintptr_t)&received, 1, VIRTQ_DESC_WRITE, 0};
	__asm__ volatile("" : : : "memory");
	__atomic_store_n(&ring.avail.index, (uint16_t)(ring.avail.index + 1), __ATOMIC_RELEASE);
	console[REG(QUEUE_NOTIFY)] = CONSOLE_RECEIVE;
}

static bool start_console(void)
{
	windows_map();
	console = (volatile uint32_t *)(uintptr_t)PLATFORM_VIRTIO_WINDOW(PLATFORM_CONSOLE_SLOT);
	if (console[REG(DEVICE_ID)] != VIRTIO_ID_CONSOLE)
		return false;
	virtio_negotiate(console, 0);
	virtio_set_queue(console, CONSOLE_RECEIVE, ENTRIES, (uint64_t)(uintptr_t)ring.desc,
		(uint64_t)(uintptr_t)&ring.avail, (uint64_t)(uintptr_t)&ring.used);
	console[REG(STATUS)] = VIRTIO_STATUS_READY;
	offer();
	return true;
}

static char read_console(void)
{
	char byte;

	while (__atomic_load_n(&ring.used.index, __ATOMIC_ACQUIRE) != ring.avail.index)
		__builtin_ia32_pause();
	byte = received;
	offer();
	return byte;
}

static char read_uart(void)
{
	while (!(inb(UART_STATUS) & UART_DATA_READY))
		__builtin_ia32_pause();
	return (char)inb(PLATFORM_UART_PORT);
}

static void hear(char byte)
{
	static char line[LINE_MAX];
	static unsigned length;

	if (byte != '\r') {
		if (length < LINE_MAX - 1)
			line[length++] = byte;
		return;
	}
	line[length] = 0;
	length = 0;
	wants_quit = line[0] == 'q' && line[1] == 'u' && line[2] == 'i' && line[3] == 't' &&
		     !line[4];
	if (wants_quit)
		return;
	print("heard: ");
	print(line);
	print("\n");
}

int main(const struct start_info *info)
{
	const char *from = (const char *)(uintptr_t)info->command_line;

	if (!guest_on_sluice())
		return NOT_SLUICE;
	if (!from || (from[0] != 'u' && from[0] != 'c' && from[0] != 'n'))
		return BAD_LINE;
	if (from[0] == 'c' && !start_console())
		return NO_CONSOLE;
	if (from[0] == 'u')
		outb(UART_IER, 1);
	__asm__ volatile("sti");
	print("listens\n");
	while (from[0] == 'n')
		__builtin_ia32_pause();
	while (!wants_quit)
		hear(from[0] == 'u' ? read_uart() : read_console());
	return ALL_RIGHT;
}
