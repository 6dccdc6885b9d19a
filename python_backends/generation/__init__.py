"""Parts of the stage `llm`, in the order in which a request meets them.

chat_template   messages → prompt
sampling        sampling inputs → `GenerationParams`
generation      token ids from the engine → responses to the client
detokenizer     … token ids → text, up to a stop word
timeline        … phases, token counts and latencies as metrics
"""
