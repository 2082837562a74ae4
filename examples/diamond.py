"""A diamond: two branches start from the same output and meet again.

maze run examples/diamond.py
"""

from maze import MaClient, task


@task(inputs=["size"], outputs=["numbers"], data_types={"size": "int"})
def generate(params):
    import random

    source = random.Random(7)
    return {"numbers": [source.gauss(100, 15) for _ in range(params["size"])]}


@task(inputs=["numbers"], outputs=["mean"])
def average(params):
    from statistics import fmean

    return {"mean": fmean(params["numbers"])}


@task(inputs=["numbers"], outputs=["deviation"])
def spread(params):
    from statistics import stdev

    return {"deviation": stdev(params["numbers"])}


@task(inputs=["mean", "deviation"], outputs=["report"])
def summarise(params):
    return {"report": f"mean {params['mean']:.1f}, standard deviation {params['deviation']:.1f}"}


client = MaClient()
workflow = client.create_workflow()

source = workflow.add_task(generate, inputs={"size": 1_000})
left = workflow.add_task(average, inputs={"numbers": source.outputs["numbers"]})
right = workflow.add_task(spread, inputs={"numbers": source.outputs["numbers"]})
report = workflow.add_task(summarise, inputs={"mean": left.outputs["mean"], "deviation": right.outputs["deviation"]})

print(workflow.get_graph_mermaid())
result = workflow.show_results(workflow.run())
print(result["task_results"][report.task_id]["report"])
