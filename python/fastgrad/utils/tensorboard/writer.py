"""SummaryWriter: what a training program logs, in event files that TensorBoard shows."""
import os
import time

from . import summary
from ._records import EventFile

__all__ = ["SummaryWriter", "FileWriter"]

FileWriter = EventFile


class SummaryWriter:
    """Writes event files to `log_dir`, by default runs/DATE_HOST. No package of TensorBoard is needed to write them.

    >>> import tempfile
    >>> with SummaryWriter(tempfile.mkdtemp()) as writer:
    ...     writer.add_scalar("loss", 0.5, global_step=1)
    """

    def __init__(self, log_dir=None, comment="", purge_step=None, max_queue=10, flush_secs=120, filename_suffix=""):
        if not log_dir:
            import socket
            log_dir = os.path.join("runs", time.strftime("%b%d_%H-%M-%S") + "_" + socket.gethostname() + comment)
        self.log_dir = str(log_dir)
        self.purge_step = purge_step
        self.max_queue = max_queue
        self.flush_secs = flush_secs
        self.filename_suffix = filename_suffix
        self.file_writer = self.all_writers = None
        self._bins = None
        self._get_file_writer()

    def _get_file_writer(self):
        if self.file_writer is None:
            self.file_writer = self._open(self.log_dir)
            self.all_writers = {self.log_dir: self.file_writer}
            if self.purge_step is not None:
                self.file_writer.start_session(self.purge_step)
                self.purge_step = None
        return self.file_writer

    def _open(self, folder):
        return EventFile(folder, self.max_queue, self.flush_secs, self.filename_suffix)

    def get_logdir(self):
        """Return the folder of the event files."""
        return self.log_dir

    def _add(self, message, global_step, walltime):
        self._get_file_writer().add_summary(message, global_step, walltime)

    def add_scalar(self, tag, scalar_value, global_step=None, walltime=None, new_style=False, double_precision=False):
        """Write a number."""
        self._add(summary.scalar(tag, scalar_value, new_style, double_precision), global_step, walltime)

    def add_scalars(self, main_tag, tag_scalar_dict, global_step=None, walltime=None):
        """Write several numbers that are shown together, each to a folder of its own."""
        walltime = time.time() if walltime is None else walltime
        folder = self._get_file_writer().folder
        for tag, value in tag_scalar_dict.items():
            path = f"{folder}/{main_tag.replace('/', '_')}_{tag}"
            if path not in self.all_writers:
                self.all_writers[path] = self._open(path)
            self.all_writers[path].add_summary(summary.scalar(main_tag, value), global_step, walltime)

    def add_histogram(self, tag, values, global_step=None, bins="tensorflow", walltime=None, max_bins=None):
        """Write how values are distributed; bins: "tensorflow", or what numpy.histogram takes."""
        if isinstance(bins, str) and bins == "tensorflow":
            self._bins = bins = self._bins or summary.default_bins()
        self._add(summary.histogram(tag, values, bins, max_bins), global_step, walltime)

    def add_image(self, tag, img_tensor, global_step=None, walltime=None, dataformats="CHW"):
        """Write an image, of bytes or of real numbers from 0 to 1."""
        self._add(summary.image(tag, img_tensor, dataformats), global_step, walltime)

    def add_images(self, tag, img_tensor, global_step=None, walltime=None, dataformats="NCHW"):
        """Write a batch of images as a grid."""
        self._add(summary.image(tag, img_tensor, dataformats), global_step, walltime)

    def add_figure(self, tag, figure, global_step=None, close=True, walltime=None):
        """Write a figure of matplotlib, or several."""
        import numpy
        from matplotlib import pyplot
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        several = figure if isinstance(figure, list) else [figure]
        pixels = []
        for one in several:
            canvas = FigureCanvasAgg(one)
            canvas.draw()
            pixels.append(numpy.asarray(canvas.buffer_rgba())[:, :, :3])
            if close:
                pyplot.close(one)
        if isinstance(figure, list):
            self.add_images(tag, numpy.stack(pixels), global_step, walltime, dataformats="NHWC")
        else:
            self.add_image(tag, pixels[0], global_step, walltime, dataformats="HWC")

    def add_text(self, tag, text_string, global_step=None, walltime=None):
        """Write a text in Markdown."""
        self._add(summary.text(tag, text_string), global_step, walltime)

    def add_hparams(self, hparam_dict, metric_dict, hparam_domain_discrete=None, run_name=None, global_step=None):
        """Write what a run was made with and what came out, to a folder of its own."""
        if type(hparam_dict) is not dict or type(metric_dict) is not dict:
            raise TypeError("hparam_dict and metric_dict should be dictionary.")
        messages = summary.hparams(hparam_dict, metric_dict, hparam_domain_discrete)
        folder = os.path.join(self._get_file_writer().folder, run_name or str(time.time()))
        with SummaryWriter(folder) as writer:
            for message in messages:
                writer.file_writer.add_summary(message, global_step)
            for tag, value in metric_dict.items():
                writer.add_scalar(tag, value, global_step)

    def flush(self):
        """Hand everything to the disk."""
        for writer in (self.all_writers or {}).values():
            writer.flush()

    def close(self):
        """Flush and close the files; a later call opens new ones."""
        for writer in (self.all_writers or {}).values():
            writer.flush()
            writer.close()
        self.file_writer = self.all_writers = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self.close()


def _refused(name):
    def method(self, *args, **kwargs):
        raise NotImplementedError(f"SummaryWriter.{name} is not supported: scalars, histograms, images, figures, "
                                  "texts and hyperparameters are")

    method.__name__ = method.__qualname__ = name
    method.__doc__ = "Not supported: raises."
    method.left_out = True
    return method


for _name in ("add_audio add_custom_scalars add_custom_scalars_marginchart add_custom_scalars_multilinechart "
              "add_embedding add_graph add_mesh add_onnx_graph add_pr_curve add_pr_curve_raw add_tensor "
              "add_video").split():
    setattr(SummaryWriter, _name, _refused(_name))
del _name
