/* The first word of the command line picks the role (roles.h). 200: there is no such role. */
#include "roles.h"

#define UNKNOWN_ROLE 200

static const struct {
	const char *name;
	uint64_t (*play)(void);
} roles[] = {
	{"keeper", role_keeper},
	{"heir", role_heir},
	{"warden", role_warden},
	{"quitter", role_quitter},
	{"intruder", role_intruder},
	{"governor", role_governor},
	{"switcher", role_switcher},
};

static bool is_first_word(const char *line, const char *word)
{
	while (*word && *line == *word) {
		line++;
		word++;
	}
	return !*word && (!*line || *line == ' ');
}

int main(const struct start_info *info)
{
	const char *line = (const char *)info->command_line;

	for (unsigned i = 0; line && i < sizeof(roles) / sizeof(roles[0]); i++)
		if (is_first_word(line, roles[i].name)) {
			uint64_t failed = roles[i].play();

			if (failed)
				print_value("failed at line", failed);
			return (int)failed;
		}
	return UNKNOWN_ROLE;
}
