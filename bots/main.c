/* main.c: chatbot. All of it is in chatbot_lib, where tests reach it. */
#include "bots/chatbot.h"

int main(int argc, char **argv)
{
    return chatbot_main(argc, argv);
}
