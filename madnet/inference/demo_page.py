"""The page of ``madnet demo``, by Gradio: everything comes from this process, nothing from the internet."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from madnet.errors import UserError

from . import demo
from .base_predictor import BasePredictor
from .demo import Demo, Found, Limits
from .guard import Guard

# Read when gradio is imported: it reports nothing, and asks no server for news.
os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
os.environ['HF_HUB_OFFLINE'] = '1'
import gradio as gr

#: False-alarm pixels over all pixels.
_BUDGETS = {'none': None, '1e-4': 1e-4, '1e-5': 1e-5, '1e-6': 1e-6}
_SCALES = {'1': (1,), '1, 0.7, 0.5': (1, 0.7, 0.5)}
_STYLE = """
.zoomed { overflow: auto; max-height: 75vh; background: #18191d; border-radius: 6px; }
.zoomed img { width: calc(100% * var(--zoom, 1)); max-width: none; display: block;
  image-rendering: pixelated; }
#surface img { image-rendering: auto; }
table.targets { border-collapse: collapse; font-variant-numeric: tabular-nums; width: auto; }
table.targets caption { text-align: left; font-weight: 600; padding: .4rem 0; }
table.targets td, table.targets th { padding: .25rem .7rem; text-align: right; }
table.targets img { width: 112px; height: 112px; image-rendering: pixelated; display: block; }
a.save { display: block; padding: .15rem 0; text-align: left; }
"""
# What is in the middle stays there.
_ZOOM = """zoom => {
  const boxes = [...document.querySelectorAll('.zoomed')];
  const middles = boxes.map(b => [(b.scrollLeft + b.clientWidth / 2) / b.scrollWidth,
                                  (b.scrollTop + b.clientHeight / 2) / b.scrollHeight]);
  document.documentElement.style.setProperty('--zoom', zoom);
  boxes.forEach((b, i) => b.scrollTo(middles[i][0] * b.scrollWidth - b.clientWidth / 2,
                                     middles[i][1] * b.scrollHeight - b.clientHeight / 2));
}"""
# Gradio's list of files takes no others, and a browser shows a file that nothing takes in place of the page:
# wherever one is dropped, it goes to where files are uploaded. Gradio has no event for files that it
# refuses, so the page is cleared whenever some are given.
_DROPS = """() => {
  const clear = () => document.querySelector('#clear').click();
  addEventListener('change', event => event.target.matches('#files input[type=file]') && clear(), true);
  addEventListener('drop', event => event.dataTransfer.files.length && clear(), true);
  addEventListener('dragover', event => event.preventDefault());
  addEventListener('drop', event => {
    if (event.defaultPrevented || !event.dataTransfer.files.length) return;
    event.preventDefault();
    document.querySelector('#files [aria-dropeffect]')?.dispatchEvent(
      new DragEvent('drop', {cancelable: true, dataTransfer: event.dataTransfer}));
  });
}"""


def serve(
    models: Mapping[str, partial[BasePredictor]],
    host: str = '127.0.0.1',
    port: int | None = None,
    limits: Limits | None = None,
) -> None:
    """Serve the page until it is interrupted.

    Args:
        models: As for :class:`~madnet.inference.demo.Demo`; the first is chosen when the page opens.
        host: Address to listen on; the default is reached from this machine alone.
        port: To listen on; None for the first free one from 7860 on.
        limits: What visitors may ask for.

    Raises:
        UserError: The first model cannot be made, or the port is not free.
    """
    shown = Demo(models, limits)
    shown.predictor(next(iter(models)))  # what is wrong with it is said now
    with tempfile.TemporaryDirectory(prefix='madnet-demo-') as folder:
        os.environ['GRADIO_TEMP_DIR'] = folder  # for what visitors drop
        page, address = launch(shown, host, port)
        print(f'listening on {address} (Ctrl-C ends it)', flush=True)
        try:
            page.block_thread()
        finally:
            page.close()


def launch(shown: Demo, host: str = '127.0.0.1', port: int | None = None) -> tuple[gr.Blocks, str]:
    """Start to serve the page; returns it, for ``close()``, and its address.

    Raises:
        UserError: The port is not free.
    """
    page = make_page(shown)
    page.queue(max_size=16, default_concurrency_limit=1)
    megabytes = shown.limits.megabytes
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            show_error=True,
            ssr_mode=False,
            prevent_thread_lock=True,
            max_file_size=f'{megabytes}mb',
            state_session_capacity=32,
            enable_monitoring=False,
            mcp_server=False,
            footer_links=[],
            theme=gr.themes.Default(font=['system-ui', 'sans-serif'], font_mono=['monospace']),
            css=_STYLE,
            app_kwargs={
                'middleware': [(Guard, (), {'most': 4 * megabytes * 2**20})],
                **dict.fromkeys(('docs_url', 'redoc_url', 'openapi_url')),
            },
        )
    except OSError as e:
        raise UserError(f'--port {port}: {e}.') from None
    return page, address


def make_page(shown: Demo) -> gr.Blocks:
    """The page, for what it computes with."""
    limits = shown.limits
    with gr.Blocks(title='madnet', analytics_enabled=False, delete_cache=(300, 1800)) as page:
        found = gr.State(None, time_to_live=1800)
        gr.Markdown(
            '## Infrared small targets\n'
            f'Drop frames or a short clip: up to {limits.frames} frames, {limits.megabytes} MB a file.'
        )
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                files = gr.File(
                    file_count='multiple',
                    file_types=list(demo.ENDINGS),
                    label='Frames or a clip',
                    elem_id='files',
                    height=140,
                )
                with gr.Row():
                    examples = [gr.Button(name, size='sm', min_width=60) for name in demo.EXAMPLES]
                model = gr.Dropdown(list(shown.models), label='Model', elem_id='model')
                threshold = gr.Slider(
                    0, 1, 0.5, step=0.01, label='Threshold of the score', elem_id='threshold'
                )
                with gr.Accordion('More', open=False):
                    budget = gr.Radio(
                        list(_BUDGETS), value='none', label='Budget of false pixels over all pixels'
                    )
                    views = gr.Radio([1, 2, 4, 8], value=1, label='Mirrored and turned views')
                    scales = gr.Radio(list(_SCALES), value='1', label='Scales')
                    measured = gr.Checkbox(label='Black and white by the frames, for 10 to 16 bits')
                clear = gr.Button(visible='hidden', elem_id='clear')
                find = gr.Button('Find targets', variant='primary')
                said = gr.Markdown(elem_id='said')
                saved = gr.HTML()
            with gr.Column(scale=3):
                frame = gr.Slider(1, 2, 1, step=1, label='Frame', visible=False, elem_id='frame')
                zoom = gr.Slider(1, 8, 1, step=0.5, label='Zoom', elem_id='zoom')
                with gr.Tabs():
                    with gr.Tab('Targets'):
                        picture = gr.HTML()
                    with gr.Tab('Scores'):
                        scores = gr.HTML()
                    with gr.Tab('Surface'):
                        surface = gr.HTML()
                table = gr.HTML()

        how = [model, views, scales, budget, measured]
        views_of_it = [picture, scores, surface, table, saved]

        def predict(names, model, views, scales, budget, measured):
            asked = (names or [], model, views, _SCALES[scales], measured, _BUDGETS[budget])
            yield from _answers(shown.find, *asked)

        def show_example(name):
            def predict_example(model, views, scales, budget):
                asked = (name, model, views, _SCALES[scales], _BUDGETS[budget])
                yield from _answers(shown.example, *asked)

            return predict_example

        def show(found, number, threshold):
            return _views(found, int(number), threshold)

        showing = {'fn': show, 'inputs': [found, frame, threshold], 'outputs': views_of_it}
        # one after another, so that what a refusal has cleared is not filled by what was asked before
        answer = [found, said, frame, threshold, *views_of_it]
        begun = {'outputs': answer, 'concurrency_id': 'find', 'trigger_mode': 'always_last'}
        clear.click(
            lambda: _answer(None), outputs=answer, queue=False, show_progress='hidden', api_name=False
        )
        find.click(predict, [files, *how], **begun, api_name='find').success(**showing, api_name='show')
        files.upload(predict, [files, *how], **begun, api_name=False).success(**showing, api_name=False)
        for button in examples:
            button.click(show_example(button.value), how[:4], **begun, api_name=False).success(
                **showing, api_name=False
            )
        for slider in (threshold, frame):
            slider.input(**showing, trigger_mode='always_last', show_progress='hidden', api_name=False)
        zoom.input(None, [zoom], js=_ZOOM)
        page.load(None, js=_DROPS)
    return page


def _answers(function: Callable[..., Found], *args: Any) -> Iterator[tuple]:
    """An empty page, and then what is found: nothing of an earlier answer stays beside a refusal, which is a
    notice on the page."""
    yield _answer(None)
    try:
        found = function(*args)
    except UserError as e:
        raise gr.Error(str(e), duration=None, print_exception=False) from None
    yield _answer(found)


def _answer(found: Found | None) -> tuple:
    """What is found, in words, and the sliders for it: with a budget the threshold is settled. The views are
    empty until they are drawn."""
    count = len(found.predictions) if found else 0
    frame = gr.Slider(1, max(2, count), 1, step=1, visible=count > 1)
    settled = found is not None and _has_budget(found)
    threshold = gr.Slider(value=0.5, interactive=False) if settled else gr.Slider(interactive=True)
    return found, found.words if found else '', frame, threshold, *_views(None, 1, 0.5)


def _has_budget(found: Found) -> bool:
    return found.about.get('fa_budget') is not None


def _views(found: Found | None, number: int, threshold: float) -> list[str]:
    if found is None:
        return [''] * 5
    shown = found.predictions
    if not _has_budget(found):  # which holds for the threshold that they were predicted with
        shown = [demo.at_threshold(one, threshold) for one in shown]
    one = shown[min(number, len(shown)) - 1]
    return [
        demo.picture_html(demo.marked(one), 'overlay', f'{one.name} with its targets'),
        demo.picture_html(demo.score_picture(one), 'scores', f'{one.name}: scores'),
        demo.picture_html(demo.surface_picture(one), 'surface', f'{one.name}: scores as a surface'),
        demo.targets_table(one),
        demo.link_html('targets.json', demo.report_json(shown, found.about), 'Save targets (JSON)')
        + demo.link_html(*demo.masks_file(shown), 'Save masks' if len(shown) > 1 else 'Save mask (PNG)'),
    ]
