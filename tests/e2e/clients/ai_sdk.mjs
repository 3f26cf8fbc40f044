// The AI SDK with its provider for OpenAI, which uses the Responses API: a tool loop, whole and streamed.
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const openai = createOpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.KEY });
const asked = {
  model: openai.responses("t/tools"),
  prompt: "hello",
  tools: {
    get_weather: tool({ inputSchema: z.object({ city: z.string() }), execute: async ({ city }) => `Sunny in ${city}.` }),
  },
  stopWhen: stepCountIs(3),
  maxRetries: 0,
  providerOptions: { openai: { store: false, forceReasoning: true, reasoningEffort: "low", reasoningSummary: "auto" } },
};

const whole = await generateText(asked);
const streamed = streamText({ ...asked, onError: ({ error }) => { throw error; } });
let text = "";
for await (const piece of streamed.textStream) text += piece;
const steps = await streamed.steps;
const told = (list) => list.map((step) => [step.finishReason, step.toolResults.map((one) => one.output), step.reasoningText]);

console.log(JSON.stringify({ whole: [whole.text, told(whole.steps)], streamed: [text, told(steps)] }));
