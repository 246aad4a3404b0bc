/*
 * What an act needs of its processor: descriptor tables with a ring 3, exceptions that are caught,
 * and its page tables.
 */
#ifndef HOSTILE_MACHINE_H
#define HOSTILE_MACHINE_H

#include <stdint.h>

#define VECTOR_DB 1
#define VECTOR_BP 3
#define VECTOR_UD 6
#define VECTOR_DF 8
#define VECTOR_GP 13
#define VECTOR_PF 14
#define VECTOR_AC 17
/* The way back from ring 3. */
#define VECTOR_RETURN 0x80

/* Selectors. */
#define KERNEL_CODE    0x08
#define KERNEL_DATA    0x10
#define USER_DATA      0x1b
#define USER_CODE      0x23
#define USER_CODE_32   0x2b
#define KERNEL_CODE_32 0x30
#define TASK           0x38

#define NO_FAULT (-1)

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

struct gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};
_Static_assert(sizeof(struct gate) == 16, "IDT gate");

/* GDT, TSS and IDT: every exception, and VECTOR_RETURN, ends the function that fault_of() runs. */
void machine_init(void);
/* Lets @vector be delivered to @handler, on the stack that ends at @stack (0: the current one). */
void machine_set_gate(uint8_t vector, const void *handler, uint64_t stack);

/* Runs @function; the vector of the exception that ended it, or NO_FAULT. */
int fault_of(void (*function)(void));
extern uint64_t fault_vector, fault_error;

/* Runs @function in ring 3 on a stack of its own; it ends by an exception or by ring3_return(). */
int fault_in_ring3(void (*function)(void));
static inline void ring3_return(void)
{
	__asm__ volatile("int %0" : : "i"(VECTOR_RETURN));
}

/* Maps the 2 MiB at @physical, and returns the address to use. One mapping at a time. */
volatile uint64_t *map_physical(uint64_t physical);

/* second.c: vCPU 1 runs @function, which must not return. */
void start_second(void (*function)(void));

/* exceptions.S */
extern const char exception_stubs[]; /* 16 bytes each, for vectors 0 to 31 */
extern const char return_stub[];
void ring3_enter(void (*function)(void));

static inline uint64_t read_cr3(void)
{
	uint64_t value;

	__asm__ volatile("mov %%cr3, %0" : "=r"(value));
	return value;
}

#endif
