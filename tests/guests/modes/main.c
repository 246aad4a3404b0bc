/*
 * The modes guest: changes between the processor's paging modes, and reads and writes control
 * registers at the edge of what a guest may see of them. Ends with the number of the first step
 * that went wrong; 0 when all were right.
 */
#include "../common/guest.h"

#define CR0_ET   0x10u
#define CR0_NE   0x20u
#define CR0_NW   0x20000000u
#define CR0_CD   0x40000000u
#define CR4_TSD  0x4u
#define CR4_VMXE 0x2000u

#define VECTOR_GP 13
#define CODE_32   0x18u

/* Beyond those of walk_modes(). */
enum step { CD_LOST = 20, TS_LOST, VMXE_SEEN, TSD_LOST, NE_LOST, LMSW_WRONG };

uint64_t walk_modes(void);
extern uint64_t modes_idt[];
extern const uint32_t modes_gp_handler;

/* A 32-bit interrupt gate for #GP. */
static void prepare_modes(void)
{
	uint64_t handler = modes_gp_handler;

	modes_idt[VECTOR_GP] = (handler & 0xffff) | CODE_32 << 16 | 0x8e00ull << 32 |
			       handler >> 16 << 48;
}

static uint64_t read_cr0(void)
{
	uint64_t value;

	__asm__ volatile("mov %%cr0, %0" : "=r"(value));
	return value;
}
static void write_cr0(uint64_t value)
{
	__asm__ volatile("mov %0, %%cr0" : : "r"(value) : "memory");
}
static uint64_t read_cr4(void)
{
	uint64_t value;

	__asm__ volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}
static void write_cr4(uint64_t value)
{
	__asm__ volatile("mov %0, %%cr4" : : "r"(value) : "memory");
}

/* Bits that the hypervisor keeps read back as the guest wrote them. */
static uint64_t check_control_registers(void)
{
	uint64_t cr0 = read_cr0(), cr4 = read_cr4();

	write_cr0(cr0 | CR0_CD | CR0_NW);
	if ((read_cr0() & (CR0_CD | CR0_NW)) != (CR0_CD | CR0_NW))
		return CD_LOST;
	write_cr0(cr0 & ~(uint64_t)CR0_NE);
	if (read_cr0() & (CR0_CD | CR0_NW | CR0_NE))
		return NE_LOST;
	write_cr0(cr0);

	__asm__ volatile("lmsw %w0" : : "r"((uint16_t)0xb)); /* PE, MP, TS */
	if ((read_cr0() & 0xf) != 0xb)
		return LMSW_WRONG;
	__asm__ volatile("clts");
	if ((read_cr0() & 0xf) != 0x3)
		return TS_LOST;
	write_cr0(cr0);

	if (cr4 & CR4_VMXE)
		return VMXE_SEEN;
	write_cr4(cr4 | CR4_TSD);
	if (read_cr4() != (cr4 | CR4_TSD))
		return TSD_LOST;
	write_cr4(cr4);
	return 0;
}

int main(const struct start_info *info)
{
	uint64_t wrong;

	(void)info;
	prepare_modes();
	wrong = walk_modes();
	if (!wrong)
		wrong = check_control_registers();
	print_value("modes ended", wrong);
	return (int)wrong;
}
