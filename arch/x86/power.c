/*
 * The end: stopping the other processors, halt, reboot, power off. Everything here may run in a
 * BUG, so it takes no lock and waits for nobody for long.
 */
#include "arch/x86/acpi.h"
#include "arch/x86/apic.h"
#include "arch/x86/arch.h"
#include "arch/x86/power.h"
#include "arch/x86/processor.h"

#define PM1_SCI_ENABLE BIT(0)
#define PM1_SLP_TYP(x) ((u32)(x) << 10)
#define PM1_SLP_MASK   PM1_SLP_TYP(7)
#define PM1_SLP_EN     BIT(13)

#define PATIENCE 1000000U

/* What emulators listen to. */
#define BOCHS_SHUTDOWN_PORT   0x8900
#define QEMU_DEBUG_EXIT_PORT  0xf4
#define QEMU_DEBUG_EXIT_VALUE 0 /* exit status 2 * value + 1 */

#define RESET_CONTROL_PORT    0xcf9 /* PCI chipsets */
#define RESET_CONTROL_HARD    0x02
#define RESET_CONTROL_FULL    0x06
#define KEYBOARD_COMMAND_PORT 0x64
#define KEYBOARD_PULSE_RESET  0xfe

static bool stop_asked;
static u32 stopped;

void power_stop_if_asked(void)
{
	if (!READ_ONCE(stop_asked))
		return;
	__atomic_fetch_add(&stopped, 1, __ATOMIC_SEQ_CST);
	arch_halt();
}

void arch_stop_other_cpus(void)
{
	u32 others = arch_cpu_count() - 1;

	if (others == 0)
		return;
	__atomic_store_n(&stop_asked, true, __ATOMIC_SEQ_CST);
	/* NMIs: the others run with interrupts off, or a guest. */
	for (unsigned i = 0; i < arch_cpu_count(); i++)
		if (i != this_cpu()->index)
			apic_send(arch_cpu(i)->apic_id, ICR_NMI | ICR_ASSERT);
	for (u32 patience = PATIENCE;
		__atomic_load_n(&stopped, __ATOMIC_SEQ_CST) < others && patience > 0; patience--)
		cpu_pause();
}

void arch_halt(void)
{
	for (;;)
		__asm__ volatile("cli; hlt" : : : "memory");
}

void arch_reboot(void)
{
	const struct acpi_power *power = &acpi_info()->power;
	struct __packed_struct {
		u16 limit;
		u64 base;
	} no_idt = {0, 0};

	if (power->reset_port != 0)
		outb(power->reset_port, power->reset_value);
	outb(RESET_CONTROL_PORT, RESET_CONTROL_HARD);
	outb(RESET_CONTROL_PORT, RESET_CONTROL_FULL);
	outb(KEYBOARD_COMMAND_PORT, KEYBOARD_PULSE_RESET);
	for (u32 i = 0; i < PATIENCE; i++)
		cpu_pause();
	/* A triple fault. */
	__asm__ volatile("lidt %0; int3" : : "m"(no_idt));
	arch_halt();
}

/* Real machines boot in legacy mode: the sleep register works only after the firmware handed it
 * over (ACPI 6.5, 4.8.2.5). */
static void acpi_take_over(const struct acpi_power *power)
{
	if (power->smi_command == 0 || power->acpi_enable == 0)
		return;
	if (inw(power->pm1a_control) & PM1_SCI_ENABLE)
		return;
	outb(power->smi_command, power->acpi_enable);
	for (u32 i = 0; i < PATIENCE && !(inw(power->pm1a_control) & PM1_SCI_ENABLE); i++)
		cpu_pause();
}

/* The type first and then the trigger, and the other bits as they are (ACPI 6.5, 4.8.3.2.1): some
 * chipsets want it so. */
static void sleep(u16 port, u8 type)
{
	u32 control;

	if (port == 0)
		return;
	control = (inw(port) & ~(u32)(PM1_SLP_MASK | PM1_SLP_EN)) | PM1_SLP_TYP(type & 7);
	outw(port, (u16)control);
	outw(port, (u16)(control | PM1_SLP_EN));
}

static void acpi_power_off(const struct acpi_power *power)
{
	if (power->pm1a_control == 0 || !power->has_s5)
		return;
	acpi_take_over(power);
	sleep(power->pm1a_control, power->s5_type_a);
	sleep(power->pm1b_control, power->s5_type_b);
	for (u32 i = 0; i < PATIENCE; i++)
		cpu_pause();
}

void arch_power_off(void)
{
	static const char shutdown[] = "Shutdown";

	acpi_power_off(&acpi_info()->power);
	for (const char *c = shutdown; *c != 0; c++)
		outb(BOCHS_SHUTDOWN_PORT, (u8)*c);
	outl(QEMU_DEBUG_EXIT_PORT, QEMU_DEBUG_EXIT_VALUE);
	arch_halt();
}
