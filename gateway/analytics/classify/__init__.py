"""What requests are about, told on this machine from a sample of them: category, task, natural and programming language.

Off unless an organisation asks for it. Text is read in memory after the answer, and nothing but labels leaves this package. It
must not know: the store's counters, HTTP, who may see the results.
"""
