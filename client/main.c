/* main.c: chat. All of it is in chat_lib, where tests reach it. */
#include "client/start.h"

int main(int argc, char **argv)
{
    return chat_main(argc, argv);
}
