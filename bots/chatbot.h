/* chatbot.h: the program but for its main. */
#ifndef BOTS_CHATBOT_H
#define BOTS_CHATBOT_H

int chatbot_main(int argc, char **argv); /* its exit code */

#endif
