from benchmarks.embeddings.command import main

main()
