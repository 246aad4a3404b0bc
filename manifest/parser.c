/*
 * See parser.h.
 */
#include "manifest/parser.h"

struct message *parser_begin(struct parser *p)
{
	struct message *m = &p->message;

	m->length = 0;
	m->text[0] = '\0';
	if (!p->in_guest)
		return m;
	if (p->guest_name.length != 0) {
		message_text(m, "guest ");
		message_slice(m, p->guest_name);
	} else {
		message_text(m, "guest number ");
		message_number(m, p->guests_seen);
	}
	message_text(m, ": ");
	return m;
}

void parser_send(struct parser *p, unsigned line)
{
	if (p->guest)
		p->guest->bad = true;
	else if (!p->in_guest)
		p->fatal = true;
	p->errors++;
	p->report(p->argument, line, p->message.text);
}

void parser_complain(struct parser *p, unsigned line, const char *text)
{
	message_text(parser_begin(p), text);
	parser_send(p, line);
}

void parser_complain_about(struct parser *p, unsigned line, const char *before,
	struct toml_slice what, const char *after)
{
	struct message *m = parser_begin(p);

	message_text(m, before);
	message_slice(m, what);
	message_text(m, after);
	parser_send(p, line);
}

void parser_complain_with_line(
	struct parser *p, unsigned line, const char *text, unsigned other_line)
{
	struct message *m = parser_begin(p);

	message_text(m, text);
	message_number(m, other_line);
	parser_send(p, line);
}
