/* The small static program of process.fork-exec-exit. */
int main(void)
{
    return 0;
}
