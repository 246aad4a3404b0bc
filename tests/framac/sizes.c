/*
 * Sizes in the manifest (parse_size() in manifest/convert.c): any text of up to 20 bytes is read
 * within its end, and no number overflows unseen.
 */
#include "tests/framac/port.h"

#include SOURCE

static struct toml_value value;

int main(void)
{
	u64 bytes = 0;

	value.type = (enum toml_type)Frama_C_interval(0, 3);
	value.text_length = (u64)Frama_C_interval(0, 20);
	for (u32 i = 0; i < value.text_length; i++)
		value.text[i] = (char)Frama_C_interval(-128, 127);
	value.text[value.text_length] = '\0';
	return parse_size(&value, &bytes) && bytes;
}
