/* The IOAPIC: see ioapic.h. A message is composed under the VM's lock and delivered after it. */
#include "arch/x86/guest/ioapic.h"

#include "arch/x86/guest/lapic.h"
#include "arch/x86/guest/platform_state.h"
#include <string.h>

/* Offsets in the window. */
#define WINDOW_SELECT 0x00
#define WINDOW_DATA   0x10
#define WINDOW_EOI    0x40

/* Registers behind WINDOW_SELECT. */
#define REG_ID          0x00
#define REG_VERSION     0x01
#define REG_ARBITRATION 0x02
#define REG_TABLE       0x10
#define REG_TABLE_LAST  (REG_TABLE + 2 * PLATFORM_IOAPIC_PINS - 1)

#define VERSION_VALUE ((PLATFORM_IOAPIC_PINS - 1) << 16 | 0x20u)

#define ENTRY_LOGICAL           BIT(11)
#define ENTRY_STATUS            BIT(12)
#define ENTRY_REMOTE_IRR        BIT(14)
#define ENTRY_LEVEL             BIT(15)
#define ENTRY_MASKED            BIT(16)
#define ENTRY_READ_ONLY         (ENTRY_STATUS | ENTRY_REMOTE_IRR)
#define ENTRY_WRITABLE          (0xff0000000001ffffUL & ~ENTRY_READ_ONLY)
#define ENTRY_DESTINATION_SHIFT 56

void ioapic_reset(struct ioapic *ioapic)
{
	memset(ioapic, 0, sizeof(*ioapic));
	for (unsigned i = 0; i < PLATFORM_IOAPIC_PINS; i++)
		ioapic->entries[i] = ENTRY_MASKED;
}

/*
 * Decides under the VM's lock whether @pin sends a message now. A level-triggered pin sends one
 * until its EOI; an edge always does.
 */
static bool compose(struct ioapic *ioapic, unsigned pin, struct lapic_message *message)
{
	u64 *entry = &ioapic->entries[pin];
	bool level = *entry & ENTRY_LEVEL;
	u8 destination = (u8)(*entry >> ENTRY_DESTINATION_SHIFT);

	if (*entry & ENTRY_MASKED)
		return false;
	if (level) {
		if ((*entry & ENTRY_REMOTE_IRR) || !(ioapic->lines & BIT(pin)))
			return false;
		*entry |= ENTRY_REMOTE_IRR;
	}
	*message = (struct lapic_message){
		/* Eight bits of destination: 0xff is everybody, logical ids are cluster 0. */
		.destination = destination == 0xff ? ~0U : destination,
		.logical = *entry & ENTRY_LOGICAL,
		.level = level,
		.delivery = (enum lapic_delivery)(*entry >> 8 & 7),
		.vector = (u8)*entry,
	};
	return true;
}

static void send(struct vm *vm, const struct lapic_message *message)
{
	/* INIT and SIPI come from processors; a device line does not restart one. */
	if (message->delivery == DELIVER_FIXED || message->delivery == DELIVER_LOWEST ||
		message->delivery == DELIVER_NMI)
		lapic_deliver(vm, message);
}

void ioapic_raise(struct vm *vm, unsigned pin)
{
	struct ioapic *ioapic = &vm->platform->ioapic;
	struct lapic_message message;
	bool sends;

	spin_lock(&vm->lock);
	ioapic->lines |= (u32)BIT(pin);
	sends = compose(ioapic, pin, &message);
	spin_unlock(&vm->lock);
	if (sends)
		send(vm, &message);
}

void ioapic_lower(struct vm *vm, unsigned pin)
{
	spin_lock(&vm->lock);
	vm->platform->ioapic.lines &= ~(u32)BIT(pin);
	spin_unlock(&vm->lock);
}

void ioapic_end_of_interrupt(struct vm *vm, u8 vector)
{
	struct ioapic *ioapic = &vm->platform->ioapic;

	for (unsigned pin = 0; pin < PLATFORM_IOAPIC_PINS; pin++) {
		struct lapic_message message;
		bool sends = false;

		spin_lock(&vm->lock);
		if ((u8)ioapic->entries[pin] == vector && (ioapic->entries[pin] & ENTRY_LEVEL)) {
			ioapic->entries[pin] &= ~ENTRY_REMOTE_IRR;
			sends = compose(ioapic, pin, &message);
		}
		spin_unlock(&vm->lock);
		if (sends)
			send(vm, &message);
	}
}

static u32 read_register(const struct ioapic *ioapic)
{
	u32 reg = ioapic->select;

	if (reg >= REG_TABLE && reg <= REG_TABLE_LAST)
		return (u32)(ioapic->entries[(reg - REG_TABLE) / 2] >> (reg & 1) * 32);
	switch (reg) {
	case REG_ID:
	case REG_ARBITRATION:
		return ioapic->id;
	case REG_VERSION:
		return VERSION_VALUE;
	default:
		return 0;
	}
}

/* Under the VM's lock; true if the pin's new entry sends a message at once. */
static bool write_register(struct ioapic *ioapic, u32 value, struct lapic_message *message)
{
	u32 reg = ioapic->select;
	unsigned pin = (reg - REG_TABLE) / 2, shift = (reg & 1) * 32;
	u64 *entry, writable;

	if (reg == REG_ID)
		ioapic->id = value & 0x0f000000;
	if (reg < REG_TABLE || reg > REG_TABLE_LAST)
		return false;
	entry = &ioapic->entries[pin];
	writable = ENTRY_WRITABLE & 0xffffffffUL << shift;
	*entry = (*entry & ~writable) | ((u64)value << shift & writable);
	if (!(*entry & ENTRY_LEVEL))
		*entry &= ~ENTRY_REMOTE_IRR;
	/* A line held high by its device fires when its level-triggered pin is unmasked. */
	return (*entry & ENTRY_LEVEL) && compose(ioapic, pin, message);
}

u32 ioapic_read(struct vm *vm, u32 offset)
{
	struct ioapic *ioapic = &vm->platform->ioapic;
	u32 value = 0;

	spin_lock(&vm->lock);
	if (offset == WINDOW_SELECT)
		value = ioapic->select;
	else if (offset == WINDOW_DATA)
		value = read_register(ioapic);
	spin_unlock(&vm->lock);
	return value;
}

void ioapic_write(struct vm *vm, u32 offset, u32 value)
{
	struct ioapic *ioapic = &vm->platform->ioapic;
	struct lapic_message message;
	bool sends = false;

	if (offset == WINDOW_EOI) {
		ioapic_end_of_interrupt(vm, (u8)value);
		return;
	}
	spin_lock(&vm->lock);
	if (offset == WINDOW_SELECT)
		ioapic->select = value & 0xff;
	else if (offset == WINDOW_DATA)
		sends = write_register(ioapic, value, &message);
	spin_unlock(&vm->lock);
	if (sends)
		send(vm, &message);
}
