/*
 * complete.c: completions for bash and zsh, written from a program's table of
 * commands: what its usage text says of a command is what is offered. Runs as
 * the caller.
 */
#include <stdio.h>
#include <string.h>

#include "takoctl.h"
#include "util.h"

/*
 * The words of an args text that can be typed as they stand: flags, and with
 * flags 0 the alternatives of "a | b | c operand".
 */
static void
words(const char *args, int flags)
{
	char copy[256], *rest = copy, *w;
	const char *lead = "";
	int choice = strchr(args, '|') != NULL;

	strlcpy(copy, args, sizeof(copy));
	while ((w = strsep(&rest, " []")) != NULL) {
		if (*w == '\0')
			continue;
		if (strcmp(w, "|") == 0) {
			choice = 1;
			continue;
		}
		if (flags ? *w == '-' : *w != '-' && choice) {
			printf("%s%s", lead, w);
			lead = " ";
		}
		choice = 0;
	}
}

static void
bash(const char *program, const struct complete_item *items)
{
	const struct complete_item *c;

	printf("# bash completion of %s, written by \"%s completion bash\"\n"
	       "_%s()\n{\n"
	       "\tlocal cur=${COMP_WORDS[COMP_CWORD]} i cmd= words=\n"
	       "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	       "\t\tcase ${COMP_WORDS[i]} in\n"
	       "\t\t-c | --config | -s | --socket) ((i++)) ;;\n"
	       "\t\t-*) ;;\n"
	       "\t\t*) cmd=${COMP_WORDS[i]}; break ;;\n"
	       "\t\tesac\n\tdone\n"
	       "\tcase $cmd in\n\t'') words='",
	    program, program, program);
	for (c = items; c->name != NULL; c++)
		printf("%s%s", c == items ? "" : " ", c->name);
	printf("' ;;\n");
	for (c = items; c->name != NULL; c++) {
		printf("\t%s) words='", c->name);
		words(c->args, 0);
		printf(" ");
		words(c->args, 1);
		printf("' ;;\n");
	}
	printf("\tesac\n"
	       "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
	       "}\ncomplete -o default -F _%s %s\n",
	    program, program);
}

/* 'name:help', in which an apostrophe is not plain. */
static void
zsh_described(const struct complete_item *c)
{
	const char *p;

	printf("\t'%s:", c->name);
	for (p = c->help; *p != '\0'; p++)
		if (*p == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*p);
	printf("'\n");
}

static void
zsh(const char *program, const struct complete_item *items)
{
	const struct complete_item *c;

	printf("#compdef %s\n"
	       "# zsh completion, written by \"%s completion zsh\"\n"
	       "local curcontext=$curcontext state line\n"
	       "local -a commands\n"
	       "commands=(\n",
	    program, program);
	for (c = items; c->name != NULL; c++)
		zsh_described(c);
	printf(")\n"
	       "_arguments -C '(-c --config)'{-c,--config}"
	       "'[configuration file]:file:_files' \\\n"
	       "\t'1:command:->command' '*::argument:->argument'\n"
	       "case $state in\n"
	       "command) _describe command commands ;;\n"
	       "argument)\n\tcase $words[1] in\n");
	for (c = items; c->name != NULL; c++) {
		if (*c->args == '\0')
			continue;
		printf("\t%s) compadd -- ", c->name);
		words(c->args, 0);
		printf(" ");
		words(c->args, 1);
		printf("; _files ;;\n");
	}
	printf("\tesac ;;\nesac\n");
}

int
complete_print(
    const char *program, const char *shell, const struct complete_item *items)
{
	if (shell != NULL && strcmp(shell, "bash") == 0)
		bash(program, items);
	else if (shell != NULL && strcmp(shell, "zsh") == 0)
		zsh(program, items);
	else
		return (-1);
	return (fflush(stdout) == 0 ? 0 : -1);
}
