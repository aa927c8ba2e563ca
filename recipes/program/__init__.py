"""What every job needs: the command line, files, the machine."""
