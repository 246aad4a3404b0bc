/* From TOML values to the fields of the manifest's structs, as the schema says. */
#include "manifest/convert.h"

#include <string.h>

static void store_number(const struct key *key, void *record, u64 number)
{
	char *field = (char *)record + key->offset;
	u8 byte = (u8)number;
	u32 word = (u32)number;

	switch (key->width) {
	case sizeof(u8):
		memcpy(field, &byte, sizeof(byte));
		break;
	case sizeof(u32):
		memcpy(field, &word, sizeof(word));
		break;
	default:
		memcpy(field, &number, sizeof(number));
		break;
	}
}

static bool is_name_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || c == '.';
}

static bool convert_string(const struct key *key, const struct toml_value *value, void *record)
{
	if (value->type != TOML_STRING || value->text_length >= key->width)
		return false;
	if (key->type != KEY_TEXT) {
		if (value->text_length == 0)
			return false;
		for (u64 i = 0; i < value->text_length; i++) {
			char c = value->text[i];

			if (key->type == KEY_NAME ? !is_name_character(c) : c <= ' ' || c > '~')
				return false;
		}
	}
	memset((char *)record + key->offset, 0, key->width);
	memcpy((char *)record + key->offset, value->text, value->text_length);
	return true;
}

/* "64M": decimal digits without leading zeros, and K, M, G or nothing. */
static bool parse_size(const struct toml_value *value, u64 *bytes)
{
	const char *at = value->text;
	u64 number = 0;
	unsigned shift = 0;

	if (value->type != TOML_STRING || value->text_length > 20)
		return false;
	if (*at < '0' || *at > '9' || (at[0] == '0' && at[1] >= '0' && at[1] <= '9'))
		return false;
	for (; *at >= '0' && *at <= '9'; at++) {
		u64 digit = (u64)(*at - '0');

		if (number > (~0UL - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	if (*at == 'K')
		shift = 10;
	else if (*at == 'M')
		shift = 20;
	else if (*at == 'G')
		shift = 30;
	if (shift)
		at++;
	if (*at != '\0' || number > (~0UL >> shift))
		return false;
	*bytes = number << shift;
	return true;
}

static bool convert_choice(const struct key *key, const struct toml_value *value, void *record)
{
	if (value->type != TOML_STRING || value->text_length >= TOML_TEXT_MAX)
		return false;
	for (u64 i = key->min; i <= key->max; i++)
		if (strcmp(value->text, key->choices[i]) == 0) {
			store_number(key, record, i);
			return true;
		}
	return false;
}

static int hexadecimal(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "01234567-89ab-cdef-0123-456789abcdef" */
static bool convert_uuid(const struct key *key, const struct toml_value *value, void *record)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	u64 halves[2] = {0, 0};

	if (value->type != TOML_STRING || value->text_length != sizeof(form) - 1)
		return false;
	for (unsigned i = 0; i < sizeof(form) - 1; i++) {
		int digit = hexadecimal(value->text[i]);

		if (form[i] == '-' ? value->text[i] != '-' : digit < 0)
			return false;
		if (form[i] == '-')
			continue;
		halves[1] = halves[1] << 4 | halves[0] >> 60;
		halves[0] = halves[0] << 4 | (u64)digit;
	}
	memcpy((char *)record + key->offset, halves, sizeof(halves));
	return true;
}

static bool convert_cpus(const struct key *key, const struct toml_value *value, void *record)
{
	u64 mask = 0;

	if (value->type != TOML_ARRAY || value->item_count == 0)
		return false;
	for (unsigned i = 0; i < value->item_count; i++) {
		s64 cpu = value->items[i];

		if (cpu < (s64)key->min || cpu > (s64)key->max || (mask & BIT(cpu)))
			return false;
		mask |= BIT(cpu);
	}
	store_number(key, record, mask);
	return true;
}

bool convert_value(const struct key *key, const struct toml_value *value, void *record)
{
	u64 number;

	switch (key->type) {
	case KEY_NAME:
	case KEY_MODULE:
	case KEY_TEXT:
		return convert_string(key, value, record);
	case KEY_CHOICE:
		return convert_choice(key, value, record);
	case KEY_UUID:
		return convert_uuid(key, value, record);
	case KEY_CPUS:
		return convert_cpus(key, value, record);
	case KEY_SIZE:
		if (!parse_size(value, &number) || (number & PAGE_MASK))
			return false;
		break;
	case KEY_NUMBER:
		if (value->type != TOML_INTEGER || value->integer < 0)
			return false;
		number = (u64)value->integer;
		break;
	case KEY_BOOLEAN:
		if (value->type != TOML_BOOLEAN)
			return false;
		store_number(key, record, value->boolean);
		return true;
	default:
		return false;
	}
	if (number < key->min || number > key->max)
		return false;
	store_number(key, record, number);
	return true;
}

void convert_fallbacks(const struct table *table, void *record)
{
	for (unsigned i = 0; i < table->key_count; i++) {
		const struct key *key = &table->keys[i];

		if (key->type == KEY_NAME || key->type == KEY_MODULE || key->type == KEY_TEXT ||
			key->type == KEY_UUID)
			memset((char *)record + key->offset, 0, key->width);
		else
			store_number(key, record, key->fallback);
	}
}
