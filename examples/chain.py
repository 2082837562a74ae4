"""A chain: each task works on the output of the one before it.

maze run examples/chain.py
"""

from maze import MaClient, task

TEXT = "One maze, one way in, one way out: the maze is the way."


@task(inputs=["text"], outputs=["words"])
def split(params):
    import re  # modules are imported where they are used: tasks run on other machines

    return {"words": re.findall(r"\w+", params["text"].lower())}


@task(inputs=["words"], outputs=["counts"])
def count(params):
    words = params["words"]
    return {"counts": {word: words.count(word) for word in words}}


@task(inputs=["counts"], outputs=["top"])
def rank(params):
    return {"top": sorted(params["counts"].items(), key=lambda item: (-item[1], item[0]))[:3]}


client = MaClient()
workflow = client.create_workflow()

words = workflow.add_task(split, inputs={"text": TEXT})
counts = workflow.add_task(count, inputs={"words": words.outputs["words"]})
top = workflow.add_task(rank, inputs={"counts": counts.outputs["counts"]})

workflow.print_graph()
result = workflow.show_results(workflow.run())
for word, times in result["task_results"][top.task_id]["top"]:
    print(f"{word:<6} {times}")
