/* start.h: the program chat, all of it: options, what is opened by them, one of the views, the exit code. */
#ifndef CLIENT_START_H
#define CLIENT_START_H

/* The exit code. */
int chat_main(int argc, char **argv);

#endif
