/*
 * Events whose delivery is cut short by a nested fault: the handler's stack lies in memory that was
 * never touched. The event must come exactly once, with the right return address in its frame.
 */
#include "acts.h"
#include "machine.h"

/* Blocks of 2 MiB that nobody has touched; one a case, since a fault may populate a whole block. */
#define FIRST_BLOCK MIB(6)
#define BLOCK       MIB(2)
#define CASES       3

struct frame {
	uint64_t rip, cs, rflags, rsp, ss;
};

/* Handlers leave the address of the frame here, and count. */
uint64_t cut_short_frame, cut_short_count;

__asm__(".pushsection .text;"
	"cut_short_handler: mov %rsp, cut_short_frame; incq cut_short_count; iretq;"
	"cut_short_skip: mov %rsp, cut_short_frame; incq cut_short_count; addq $2, (%rsp); iretq;"
	".popsection");
extern const char cut_short_handler[], cut_short_skip[];

/* Runs @instruction with a fresh stack for @vector; the RIP that its frame holds goes to @saved. */
#define DELIVER(instruction, saved, before, after)                                                 \
	__asm__ volatile("lea 1f(%%rip), %1; lea 2f(%%rip), %2; 1: " instruction "; 2:"            \
			 "mov cut_short_frame, %0; mov (%0), %0"                                   \
			 : "=&r"(saved), "=&r"(before), "=&r"(after)                               \
			 :                                                                         \
			 : "memory")

uint64_t act_cut_short(void)
{
	uint64_t saved, before, after, block = FIRST_BLOCK;

	CHECK(ram_end(start_info) >= FIRST_BLOCK + CASES * BLOCK);

	machine_set_gate(VECTOR_RETURN, cut_short_handler, block + PAGE);
	DELIVER("int $0x80", saved, before, after);
	CHECK(cut_short_count == 1 && saved == after);

	block += BLOCK;
	machine_set_gate(VECTOR_BP, cut_short_handler, block + PAGE);
	DELIVER("int3", saved, before, after);
	CHECK(cut_short_count == 2 && saved == after);

	/* A fault: the frame names the instruction itself, and the handler steps over it. */
	block += BLOCK;
	machine_set_gate(VECTOR_UD, cut_short_skip, block + PAGE);
	DELIVER("ud2", saved, before, after);
	CHECK(cut_short_count == 3 && saved == before + 2);
	return 0;
}
