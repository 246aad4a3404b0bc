/*
 * AVX2 as a program finds it: two processes that give each other the processor, with numbers in all
 * YMM registers, which count up. Says "right" if neither lost any; the status is 0 then.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS    500u
#define REGISTERS 16
#define WORDS     4 /* of a register */

static uint64_t values[REGISTERS][WORDS] __attribute__((aligned(32)));

#define ALL(form)                                                                                  \
	form(0) form(1) form(2) form(3) form(4) form(5) form(6) form(7) form(8) form(9) form(10)   \
		form(11) form(12) form(13) form(14)
#define LOAD(n)  "vmovdqa 32*" #n "(%[values]), %%ymm" #n "\n\t"
#define STORE(n) "vmovdqa %%ymm" #n ", 32*" #n "(%[values])\n\t"
#define ADD(n)   "vpaddq %%ymm15, %%ymm" #n ", %%ymm" #n "\n\t"

/* In each round the last register is added to the others, and sched_yield() is called. */
static void count(void)
{
	uint32_t rounds = ROUNDS;

	__asm__ volatile(ALL(LOAD) LOAD(15) "1:\n\t" ALL(ADD) "mov $24, %%eax\n\t"
							      "syscall\n\t"
							      "dec %[rounds]\n\t"
							      "jnz 1b\n\t" ALL(STORE)
								      STORE(15) "vzeroupper"
			 : [rounds] "+r"(rounds)
			 : [values] "r"(values)
			 : "rax", "rcx", "r11", "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3",
			 "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
			 "xmm13", "xmm14", "xmm15");
}

static int are_right(uint64_t seed)
{
	for (unsigned n = 0; n < REGISTERS; n++)
		for (unsigned i = 0; i < WORDS; i++) {
			uint64_t step = seed * 1000 + i, first = seed << 32 | n * WORDS | i;

			if (values[n][i] != (n == 15 ? step : first + ROUNDS * step))
				return 0;
		}
	return 1;
}

static int run(uint64_t seed)
{
	for (unsigned n = 0; n < REGISTERS; n++)
		for (unsigned i = 0; i < WORDS; i++)
			values[n][i] = n == 15 ? seed * 1000 + i : seed << 32 | n * WORDS | i;
	count();
	return are_right(seed) ? 0 : 1;
}

int main(void)
{
	pid_t child;
	int status, own;

	if (!__builtin_cpu_supports("avx2")) {
		puts("missing");
		return 2;
	}
	child = fork();
	if (child < 0) {
		perror("avx2: fork");
		return 2;
	}
	if (child == 0)
		_exit(run(2));
	own = run(1);
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return 2;
	puts(own || WEXITSTATUS(status) ? "wrong" : "right");
	return own | WEXITSTATUS(status);
}
